//! Parses every kernel with naga and prints its entry point, its pipeline constants, its input and what a hash costs.
//!
//! ```text
//! cargo run -p adit-shaders --example layout
//! ```

use adit_shaders::{GpuKernel, KernelInput};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for kernel in GpuKernel::ALL {
        let module = naga::front::wgsl::parse_str(kernel.source())?;
        let entry_point = module.entry_points.first().ok_or("a kernel without an entry point")?;
        let (name, overrides) = (kernel.name(), kernel.overrides().join(", "));
        println!("{name}: fn {}, override {overrides}", entry_point.name);
        let operations = kernel.operations();
        println!("  {} operations a hash, {} instructions at least", operations.sum(), operations.instructions());
    }
    println!("KernelInput, {} bytes:", size_of::<KernelInput>());
    for field in KernelInput::FIELDS {
        println!("  {:3}  {:3} bytes  {}", field.offset, field.size, field.name);
    }
    Ok(())
}
