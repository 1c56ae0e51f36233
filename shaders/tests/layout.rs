//! naga's view of the WGSL beside the constants and the layout of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use adit_shaders::{
    CANDIDATES_BINDING, ENTRY_POINT, GpuKernel, INPUT_BINDING, KernelInput, NONCES_PER_THREAD, WORKGROUP_THREADS,
    candidates_size,
};
use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Module, StructMember, Type, TypeInner};

fn module(kernel: GpuKernel) -> Module {
    let source = kernel.source();
    naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(source)))
}

/// Name, offset and size in bytes of each member of a struct as naga lays it out, and the size of the whole.
fn laid_out(module: &Module, name: &str) -> (Vec<(String, usize, usize)>, usize) {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let (_, of_name) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
    let TypeInner::Struct { members, span } = &of_name.inner else { panic!("{name} is no struct") };
    let field = |member: &StructMember| {
        (member.name.clone().unwrap(), member.offset as usize, layouter[member.ty].size as usize)
    };
    (members.iter().map(field).collect(), *span as usize)
}

#[test]
fn every_kernel_is_valid_wgsl() {
    for kernel in GpuKernel::ALL {
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module(kernel))
            .unwrap_or_else(|error| panic!("{}: {}", kernel.name(), error.emit_to_string(kernel.source())));
    }
}

#[test]
fn every_shader_file_is_part_of_a_kernel() {
    let mut seen = 0;
    for file in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wgsl") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(GpuKernel::ALL.iter().any(|kernel| kernel.source().contains(&text)), "{path:?} is in no kernel");
            seen += 1;
        }
    }
    assert_eq!(seen, 4, "in {:?}", Path::new(env!("CARGO_MANIFEST_DIR")));
}

#[test]
fn the_input_has_the_same_fields_in_rust_and_in_wgsl() {
    let in_rust: Vec<_> =
        KernelInput::FIELDS.iter().map(|field| (field.name.to_owned(), field.offset, field.size)).collect();
    for kernel in GpuKernel::ALL {
        let (in_wgsl, span) = laid_out(&module(kernel), "KernelInput");
        assert_eq!(in_wgsl, in_rust, "{}", kernel.name());
        // A uniform buffer's size is a multiple of 16 bytes.
        assert_eq!(span.next_multiple_of(16), size_of::<KernelInput>(), "{}", kernel.name());
    }
}

#[test]
fn the_candidates_are_a_count_and_nonces() {
    for kernel in GpuKernel::ALL {
        let module = module(kernel);
        let (fields, _) = laid_out(&module, "Candidates");
        let [(_, 0, 4), (list, 4, _)] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(list, "nonces");
        let stride = |(_, ty): (Handle<Type>, &Type)| match ty.inner {
            TypeInner::Array { stride, .. } => Some(stride),
            _ => None,
        };
        let strides: Vec<_> = module.types.iter().filter_map(stride).collect();
        assert_eq!(strides, [4], "the list of nonces is the only array");
    }
    assert_eq!((candidates_size(0), candidates_size(4_096)), (4, 4 + 4 * 4_096));
}

#[test]
fn entry_point_bindings_and_overrides_have_the_names_of_the_constants() {
    for kernel in GpuKernel::ALL {
        let module = module(kernel);
        let entry_points: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(entry_points, [ENTRY_POINT]);
        let name = |ty: Handle<Type>| module.types[ty].name.clone().unwrap();
        let mut bindings: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, global)| Some((global.binding?, global.space, name(global.ty))))
            .map(|(binding, space, name)| (binding.group, binding.binding, space == AddressSpace::Uniform, name))
            .collect();
        bindings.sort();
        let wanted = [
            (0, INPUT_BINDING, true, "KernelInput".to_owned()),
            (0, CANDIDATES_BINDING, false, "Candidates".to_owned()),
        ];
        assert_eq!(bindings, wanted, "{}", kernel.name());
        let mut overrides: Vec<_> = module.overrides.iter().filter_map(|(_, one)| one.name.as_deref()).collect();
        overrides.sort_unstable();
        let mut wanted = kernel.overrides().to_vec();
        wanted.sort_unstable();
        assert_eq!(overrides, wanted, "{}", kernel.name());
        assert!(wanted.contains(&WORKGROUP_THREADS));
        assert_eq!(wanted.contains(&NONCES_PER_THREAD), kernel == GpuKernel::Pruned);
    }
}
