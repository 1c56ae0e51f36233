//! The address of a peer in text form: host and port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// A host, by name or IP address, and a TCP port. Names are not resolved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PeerAddress {
    host: String,
    port: u16,
}

/// A text is not a peer's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{seen:?} is no peer address; wanted HOST:PORT, such as node.example:8333 or [2001:db8::1]:8333")]
pub struct PeerAddressError {
    /// The text.
    pub seen: String,
}

/// The longest name of a host (RFC 1035), and of one of its labels.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

impl PeerAddress {
    /// The name or IP address; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, not zero.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            // `u16` would accept a sign.
            let port = Some(port).filter(|port| port.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()?;
            let host = match host.strip_prefix('[') {
                Some(bracketed) => bracketed.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
                None => Some(host).filter(|host| is_host(host))?.to_owned(),
            };
            (port != 0).then_some(Self { host, port })
        };
        parsed().ok_or_else(|| PeerAddressError { seen: text.chars().take(MAX_HOST).collect() })
    }
}

/// Whether `host` is an IPv4 address, or labels of letters, digits and inner hyphens whose last is not a number.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
    host.parse::<Ipv4Addr>().is_ok() || (host.len() <= MAX_HOST && !last_is_number && host.split('.').all(is_label))
}

impl TryFrom<String> for PeerAddress {
    type Error = PeerAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_addresses() {
        for text in ["localhost:1", "node-1.example:8333", "10.0.0.1:19783", "[2001:db8::1]:65535"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}:1", "a".repeat(64));
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "a b:1",
            "-a:1",
            "a..b:1",
            "::1:1",
            "[::1:1",
            "256.1.1.1:1",
            "1.2.3:1",
            "http://a:1",
            &long,
        ] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text:?}");
        }
    }
}
