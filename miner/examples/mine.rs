//! Mines one template on a CPU thread and prints the solved header: the smallest program around the engine.
//!
//! ```text
//! cargo run --release -p adit-miner --example mine
//! ```

use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adit_miner::adit_hash::ScanTarget;
use adit_miner::{
    Coinbase, CpuSettings, DeviceId, Devices, Engine, EngineOptions, Selection, Solution, Submission, Template,
    TemplateId, WorkSource,
};

/// A source of one template, which sends its solutions to a channel.
struct OneTemplate {
    template: Arc<Template>,
    solutions: Mutex<Sender<Solution>>,
}

impl WorkSource for OneTemplate {
    fn wait_newer(&self, seen: Option<TemplateId>, timeout: Duration) -> Option<Arc<Template>> {
        if seen == Some(self.template.id) {
            thread::sleep(timeout);
            return None;
        }
        Some(self.template.clone())
    }

    fn newest(&self) -> Option<TemplateId> {
        Some(self.template.id)
    }

    fn submit(&self, solution: &Solution) -> Submission {
        let sent = self.solutions.lock().is_ok_and(|solutions| solutions.send(solution.clone()).is_ok());
        if sent { Submission::Accepted } else { Submission::Stale }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A coinbase around an extranonce of four bytes, on a block whose hash is all zeros. One hash in 2^20 meets the target.
    let coinbase = Coinbase::new(b"before the extranonce".to_vec(), 4, b"after it".to_vec());
    let target = ScanTarget::from_top(0x0fff);
    let template = Template::new(TemplateId(1), [0; 32], coinbase, 1_700_000_000, 0x1e0f_ffff, target)
        .with_version(0x2000_0000, 0x1fff_e000)
        .with_max_time(1_700_000_600);

    let (solutions, found) = channel();
    let source = Arc::new(OneTemplate { template: Arc::new(template), solutions: Mutex::new(solutions) });
    let one_thread = CpuSettings::default().with_threads(NonZeroUsize::new(1));
    let devices = Devices::list(one_thread, &Selection::Ids(vec![DeviceId::Cpu]))?;
    let engine = Engine::start(source, vec![devices.opener(DeviceId::Cpu)?], EngineOptions::default())?;

    let solution = found.recv_timeout(Duration::from_secs(60))?;
    let device = engine.stop().devices.remove(0);
    let hash: String = solution.hash.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    println!("{} ({}) found {hash}", device.info.id, device.info.name);
    println!("extranonce {:02x?}, {} hashes", solution.extranonce, device.hashes);
    Ok(())
}
