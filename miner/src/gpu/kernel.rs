//! The scan kernel on one GPU: its source, its pipeline, and the dispatch and collection of one batch.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

use super::GpuSettings;
use super::fault::{Fault, from_wgpu};
use super::prepare::Prepared;
use crate::device::DeviceError;
use crate::job::HeaderWork;
use crate::quiet::quietly;

/// Which of the kernels to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GpuKernel {
    /// shaders/scan.wgsl, with everything left out that can be.
    #[default]
    Pruned,
    /// shaders/scan_reference.wgsl, which leaves nothing out: the twin to test and measure against.
    Reference,
}

impl GpuKernel {
    /// Every kernel.
    pub const ALL: [GpuKernel; 2] = [GpuKernel::Pruned, GpuKernel::Reference];

    /// The name in measurements: `pruned` or `reference`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GpuKernel::Pruned => "pruned",
            GpuKernel::Reference => "reference",
        }
    }

    /// The nonces that a thread tries under `settings`: the reference kernel has no loop.
    const fn nonces_per_thread(self, settings: &GpuSettings) -> u32 {
        match self {
            GpuKernel::Pruned => settings.nonces_per_thread,
            GpuKernel::Reference => 1,
        }
    }

    /// The whole WGSL source, entry point `scan`. WGSL has no includes, so the shared files go before the entry point's.
    #[must_use]
    pub const fn source(self) -> &'static str {
        macro_rules! with_shared {
            ($file:literal) => {
                concat!(
                    include_str!("../../../shaders/sha256.wgsl"),
                    "\n",
                    include_str!("../../../shaders/search.wgsl"),
                    "\n",
                    include_str!(concat!("../../../shaders/", $file)),
                )
            };
        }
        match self {
            GpuKernel::Pruned => with_shared!("scan.wgsl"),
            GpuKernel::Reference => with_shared!("scan_reference.wgsl"),
        }
    }
}

/// Workgroups in a row: the limit that every device has.
const ROW_WORKGROUPS: u32 = 65_535;

/// How long one wait for the device lasts before its health is looked at.
const WAIT: Duration = Duration::from_secs(1);

/// A pipeline and what it is dispatched with.
#[derive(Debug)]
pub(super) struct Kernel {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    fault: Fault,
    workgroup: u32,
    nonces_per_thread: u32,
    /// The candidates that a batch can report.
    capacity: u32,
}

/// The buffers of one batch in flight.
#[derive(Debug)]
pub(super) struct BatchBuffers {
    work: wgpu::Buffer,
    candidates: wgpu::Buffer,
    readback: wgpu::Buffer,
    bindings: wgpu::BindGroup,
}

/// A batch that the device is searching.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) buffers: BatchBuffers,
    pub(super) work: HeaderWork,
    pub(super) submitted: Instant,
    index: wgpu::SubmissionIndex,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

/// What a batch came to.
#[derive(Debug)]
pub(super) enum BatchOutcome {
    /// Every candidate.
    Candidates(Vec<u32>),
    /// More candidates than fit.
    Overflow,
}

impl Kernel {
    /// Opens `adapter` and compiles the kernel of `settings` for it.
    pub(super) fn new(adapter: &wgpu::Adapter, settings: &GpuSettings) -> Result<Self, DeviceError> {
        let GpuSettings { kernel, workgroup, capacity, .. } = *settings;
        let nonces_per_thread = kernel.nonces_per_thread(settings);
        let mut constants = vec![("workgroup_threads", f64::from(workgroup))];
        if kernel == GpuKernel::Pruned {
            constants.push(("nonces_per_thread", f64::from(nonces_per_thread)));
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("adit"),
            required_limits: wgpu::Limits::downlevel_defaults(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| DeviceError::Refused(error.to_string()))?;
        let fault = Fault::listen(&device);
        let pipeline = in_scopes(&device, || {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name()),
                source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.name()),
                layout: None,
                module: &module,
                entry_point: Some("scan"),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            })
        })?;
        fault.check()?;
        Ok(Self { device, queue, pipeline, fault, workgroup, nonces_per_thread, capacity })
    }

    /// Makes the buffers for one batch.
    pub(super) fn create_buffers(&self) -> Result<BatchBuffers, DeviceError> {
        let buffers = in_scopes(&self.device, || {
            let buffer = |label, size, usage| {
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            };
            use wgpu::BufferUsages as Usages;
            let work = buffer("work", size_of::<Prepared>() as u64, Usages::UNIFORM | Usages::COPY_DST);
            let size = self.candidates_size();
            let candidates = buffer("candidates", size, Usages::STORAGE | Usages::COPY_SRC | Usages::COPY_DST);
            let readback = buffer("readback", size, Usages::MAP_READ | Usages::COPY_DST);
            let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("work and candidates"),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: work.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: candidates.as_entire_binding() },
                ],
            });
            BatchBuffers { work, candidates, readback, bindings }
        })?;
        self.fault.check()?;
        Ok(buffers)
    }

    /// The count and the list of candidates, in bytes.
    fn candidates_size(&self) -> u64 {
        4 * (1 + u64::from(self.capacity))
    }

    /// The nonces of a full row of workgroups.
    pub(super) fn row(&self) -> u64 {
        u64::from(ROW_WORKGROUPS) * u64::from(self.workgroup) * u64::from(self.nonces_per_thread)
    }

    /// Hands `work`, of fewer than 2^31 nonces, to the device and returns at once.
    pub(super) fn dispatch(&self, buffers: BatchBuffers, work: HeaderWork) -> Result<Dispatch, DeviceError> {
        // Fewer than 2^31 nonces, and a row holds at most 2^29 (65,535 workgroups of 256 threads with 32 nonces each), so that
        // those of the last row's idle threads are numbered within 32 bits too.
        debug_assert!(work.range.count < 1 << 31);
        let workgroups = (work.range.count as u32).div_ceil(self.workgroup * self.nonces_per_thread);
        let columns = workgroups.clamp(1, ROW_WORKGROUPS);
        let rows = workgroups.div_ceil(columns);
        let prepared = Prepared::new(&work.scan, &work.target, work.range, columns * self.workgroup);

        self.queue.write_buffer(&buffers.work, 0, bytemuck::bytes_of(&prepared));
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&buffers.candidates, 0, Some(4));
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &buffers.bindings, &[]);
            pass.dispatch_workgroups(columns, rows, 1);
        }
        encoder.copy_buffer_to_buffer(&buffers.candidates, 0, &buffers.readback, 0, self.candidates_size());
        let submitted = Instant::now();
        let index = self.queue.submit([encoder.finish()]);
        let (tell, mapped) = bounded(1);
        buffers.readback.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // Nobody listens any more once the run loop has given the device up.
            let _ = tell.send(outcome);
        });
        self.fault.check()?;
        Ok(Dispatch { buffers, work, submitted, index, mapped })
    }

    /// Sleeps until the device is done with `dispatch`, and reads what it found. How long is too long is not known here: a
    /// slow device is not sick. `given_up` says when nobody waits for it any more.
    pub(super) fn collect(
        &self,
        dispatch: &Dispatch,
        given_up: impl Fn() -> bool,
    ) -> Result<BatchOutcome, DeviceError> {
        self.wait(dispatch, given_up)?;
        let readback = &dispatch.buffers.readback;
        let unreadable = |error: String| DeviceError::Lost(format!("the candidates cannot be read: {error}"));
        let outcome = {
            let view = readback.get_mapped_range(..).map_err(|error| unreadable(error.to_string()))?;
            let words = bytemuck::try_cast_slice::<u8, u32>(&view).map_err(|error| unreadable(error.to_string()))?;
            match words.split_first() {
                Some((&found, nonces)) if found <= self.capacity => {
                    BatchOutcome::Candidates(nonces[..found as usize].to_vec())
                }
                // Splitting would never end.
                Some((&found, _)) if u64::from(found) > dispatch.work.range.count => {
                    let count = dispatch.work.range.count;
                    return Err(DeviceError::Refused(format!("it reports {found} candidates among {count} nonces")));
                }
                _ => BatchOutcome::Overflow,
            }
        };
        readback.unmap();
        self.fault.check()?;
        Ok(outcome)
    }

    fn wait(&self, dispatch: &Dispatch, given_up: impl Fn() -> bool) -> Result<(), DeviceError> {
        loop {
            // wgpu 30 turns a device that is lost while it is waited for into a panic (`Device::poll`), the one failure that
            // neither of its callbacks tells.
            let wait = wgpu::PollType::Wait { submission_index: Some(dispatch.index.clone()), timeout: Some(WAIT) };
            let polled = quietly(|| self.device.poll(wait));
            self.fault.check()?;
            match polled {
                None => return Err(DeviceError::Lost("the driver failed while it was waited for".into())),
                Some(Err(wgpu::PollError::Timeout)) if given_up() => {
                    let seconds = dispatch.submitted.elapsed().as_secs();
                    return Err(DeviceError::Hung { nonces: dispatch.work.range.count, seconds });
                }
                Some(Err(wgpu::PollError::Timeout)) => {}
                Some(Err(error)) => return Err(DeviceError::Refused(error.to_string())),
                Some(Ok(_)) => break,
            }
        }
        match dispatch.mapped.try_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DeviceError::Lost(error.to_string())),
            Err(_) => Err(DeviceError::Lost("the end of a dispatch was never told".into())),
        }
    }

    /// The device, for tests that take it away.
    #[cfg(test)]
    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device
    }
}

/// Runs `make` and returns what it made, unless the driver complained.
fn in_scopes<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<T, DeviceError> {
    use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
    let scopes = [OutOfMemory, Internal, Validation].map(|filter| device.push_error_scope(filter));
    let made = make();
    // Scopes end in the reverse order of their beginning; all have to, also where one holds an error.
    let [out_of_memory, internal, validation] = scopes;
    let errors = [validation, internal, out_of_memory].map(|scope| pollster::block_on(scope.pop()));
    match errors.into_iter().flatten().next() {
        Some(error) => Err(from_wgpu(&error)),
        None => Ok(made),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naga_accepts_every_kernel_and_every_shader_file_is_part_of_one() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for kernel in GpuKernel::ALL {
            let module = naga::front::wgsl::parse_str(kernel.source())
                .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(kernel.source())));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(kernel.source())));
            let entry_points: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(entry_points, ["scan"]);
            let (_, work) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("HeaderWork")).unwrap();
            let naga::TypeInner::Struct { span, .. } = work.inner else { panic!("HeaderWork is a struct") };
            assert_eq!(span.next_multiple_of(16) as usize, size_of::<Prepared>());
        }
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders")).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(GpuKernel::ALL.iter().any(|kernel| kernel.source().contains(&text)), "{path:?} is in no kernel");
        }
    }
}
