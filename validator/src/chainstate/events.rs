//! What the chain state tells those who subscribe.

use std::sync::mpsc::{Receiver, Sender, channel};

use bitcoin::BlockHash;

use super::InvalidBlock;

/// A change of the chain. Under [`super::CommitPolicy::EveryBlock`] it is durable before it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A block was connected on top of the active chain.
    Connected {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The last block of the active chain was taken back.
    Disconnected {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// The active chain has come to rest on another tip. Follows the connections and disconnections that led there.
    TipChanged {
        /// The tip.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A block that had been taken in, as an orphan or on a branch, breaks a rule.
    Invalid(InvalidBlock),
}

/// Events not yet told, and whom to tell.
#[derive(Debug, Default)]
pub(super) struct Events {
    pending: Vec<Event>,
    subscribers: Vec<Sender<Event>>,
}

impl Events {
    pub(super) fn subscribe(&mut self) -> Receiver<Event> {
        let (sender, receiver) = channel();
        self.subscribers.push(sender);
        receiver
    }

    pub(super) fn push(&mut self, event: Event) {
        self.pending.push(event);
    }

    /// Sends everything pending; a subscriber that hung up is forgotten.
    pub(super) fn tell(&mut self) {
        for event in self.pending.drain(..) {
            self.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
        }
    }
}
