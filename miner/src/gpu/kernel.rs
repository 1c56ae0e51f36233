//! A scan kernel on one GPU: its pipeline, its buffers, and the dispatch and collection of one batch.

use std::time::{Duration, Instant};

use adit_shaders::{
    CANDIDATES_BINDING, ENTRY_POINT, INPUT_BINDING, KernelInput, NONCES_PER_THREAD, WORKGROUP_THREADS, candidates_size,
};
use crossbeam::channel::{Receiver, bounded};

use super::first_failure::{FirstFailure, from_wgpu};
use super::prepare::kernel_input;
use super::settings::GpuSettings;
use crate::device::DeviceError;
use crate::job::HeaderWork;
use crate::quiet::quietly;

/// Workgroups in a row: the limit that every device has.
const ROW_WORKGROUPS: u32 = 65_535;

/// How long one wait for the device lasts before the feed is asked whether it has given up.
const WAIT: Duration = Duration::from_secs(1);

/// A compiled pipeline with its device.
#[derive(Debug)]
pub(super) struct Kernel {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    failure: FirstFailure,
    workgroup: u32,
    nonces_per_thread: u32,
    /// The candidates that a batch can report.
    capacity: u32,
}

/// The buffers of one batch in flight.
#[derive(Debug)]
pub(super) struct BatchBuffers {
    input: wgpu::Buffer,
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

/// The result of a batch.
#[derive(Debug)]
pub(super) enum BatchOutcome {
    /// All candidates.
    Candidates(Vec<u32>),
    /// There were more candidates than fit.
    Overflow,
}

impl Kernel {
    /// Opens `adapter` and compiles the kernel of `settings` for it.
    pub(super) fn new(adapter: &wgpu::Adapter, settings: &GpuSettings) -> Result<Self, DeviceError> {
        let GpuSettings { kernel, workgroup, capacity, .. } = *settings;
        let has_loop = kernel.overrides().contains(&NONCES_PER_THREAD);
        let nonces_per_thread = if has_loop { settings.nonces_per_thread } else { 1 };
        let mut constants = vec![(WORKGROUP_THREADS, f64::from(workgroup))];
        constants.extend(has_loop.then_some((NONCES_PER_THREAD, f64::from(nonces_per_thread))));
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("adit"),
            required_limits: wgpu::Limits::downlevel_defaults(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| DeviceError::Refused(error.to_string()))?;
        let failure = FirstFailure::listen(&device);
        let pipeline = in_scopes(&device, || {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name()),
                source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.name()),
                layout: None,
                module: &module,
                entry_point: Some(ENTRY_POINT),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            })
        })?;
        failure.check()?;
        Ok(Self { device, queue, pipeline, failure, workgroup, nonces_per_thread, capacity })
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
            let input = buffer("input", size_of::<KernelInput>() as u64, Usages::UNIFORM | Usages::COPY_DST);
            let size = candidates_size(self.capacity);
            let candidates = buffer("candidates", size, Usages::STORAGE | Usages::COPY_SRC | Usages::COPY_DST);
            let readback = buffer("readback", size, Usages::MAP_READ | Usages::COPY_DST);
            let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("input and candidates"),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &[
                    wgpu::BindGroupEntry { binding: INPUT_BINDING, resource: input.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: CANDIDATES_BINDING, resource: candidates.as_entire_binding() },
                ],
            });
            BatchBuffers { input, candidates, readback, bindings }
        })?;
        self.failure.check()?;
        Ok(buffers)
    }

    /// The nonces of a full row of workgroups.
    pub(super) fn row(&self) -> u64 {
        u64::from(ROW_WORKGROUPS) * u64::from(self.workgroup) * u64::from(self.nonces_per_thread)
    }

    /// Hands `work`, of fewer than 2^31 nonces, to the device and returns at once.
    pub(super) fn dispatch(&self, buffers: BatchBuffers, work: HeaderWork) -> Result<Dispatch, DeviceError> {
        // A row holds at most 2^29 nonces (65,535 workgroups of 256 threads with 32 nonces each). With fewer than 2^31 nonces
        // in all, even the numbers of the last row's idle threads fit 32 bits.
        debug_assert!(work.range.count < 1 << 31);
        let workgroups = (work.range.count as u32).div_ceil(self.workgroup * self.nonces_per_thread);
        let columns = workgroups.clamp(1, ROW_WORKGROUPS);
        let rows = workgroups.div_ceil(columns);
        let input = kernel_input(&work.scan, &work.target, work.range, columns * self.workgroup);

        self.queue.write_buffer(&buffers.input, 0, bytemuck::bytes_of(&input));
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&buffers.candidates, 0, Some(4));
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &buffers.bindings, &[]);
            pass.dispatch_workgroups(columns, rows, 1);
        }
        encoder.copy_buffer_to_buffer(&buffers.candidates, 0, &buffers.readback, 0, candidates_size(self.capacity));
        let submitted = Instant::now();
        let index = self.queue.submit([encoder.finish()]);
        let (tell, mapped) = bounded(1);
        buffers.readback.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // The receiver is gone once the run loop has given the device up.
            let _ = tell.send(outcome);
        });
        self.failure.check()?;
        Ok(Dispatch { buffers, work, submitted, index, mapped })
    }

    /// Sleeps until the device is done with `dispatch`, and reads the candidates. There is no time limit here: a slow device is
    /// not a hung one. `given_up` says whether the feed has given it up.
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
                // More than there are nonces: searching the halves again would never end.
                Some((&found, _)) if u64::from(found) > dispatch.work.range.count => {
                    let count = dispatch.work.range.count;
                    return Err(DeviceError::Refused(format!("it reports {found} candidates among {count} nonces")));
                }
                _ => BatchOutcome::Overflow,
            }
        };
        readback.unmap();
        self.failure.check()?;
        Ok(outcome)
    }

    fn wait(&self, dispatch: &Dispatch, given_up: impl Fn() -> bool) -> Result<(), DeviceError> {
        loop {
            // If the device is lost during the wait, wgpu 30 panics in `Device::poll`. It is the one failure that neither of its
            // callbacks reports.
            let wait = wgpu::PollType::Wait { submission_index: Some(dispatch.index.clone()), timeout: Some(WAIT) };
            let polled = quietly(|| self.device.poll(wait));
            self.failure.check()?;
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
            Err(_) => Err(DeviceError::Lost("the end of a dispatch was not reported".into())),
        }
    }

    /// The device.
    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device
    }
}

/// Runs `make` and returns its result, unless the driver reported an error.
fn in_scopes<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<T, DeviceError> {
    use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
    let scopes = [OutOfMemory, Internal, Validation].map(|filter| device.push_error_scope(filter));
    let made = make();
    // Scopes end in the reverse order of their beginning. All must end, even if one holds an error.
    let [out_of_memory, internal, validation] = scopes;
    let errors = [validation, internal, out_of_memory].map(|scope| pollster::block_on(scope.pop()));
    match errors.into_iter().flatten().next() {
        Some(error) => Err(from_wgpu(&error)),
        None => Ok(made),
    }
}
