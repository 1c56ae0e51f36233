//! Lists the GPUs of this machine, each once, although several interfaces may list it.
//!
//! Vulkan, DX12 and OpenGL may each list the same card, with different names and with some ids missing. Two identical cards
//! differ in nothing but the PCI address. So adapters with equal PCI addresses are one card, and with different ones two. An
//! adapter without a known address is matched with at most one adapter of each other interface.

use crate::device_info::{DeviceId, DeviceInfo, DeviceKind, GpuInfo};

/// Every adapter that can compute, real ones first, with its id.
pub(super) fn list() -> Vec<(DeviceInfo, wgpu::Adapter)> {
    let mut backends = wgpu::Backends::PRIMARY;
    // Without a desktop session, a request for OpenGL makes libwayland write errors to standard error.
    if cfg!(not(target_os = "linux")) || std::env::var_os("XDG_RUNTIME_DIR").is_some() {
        backends |= wgpu::Backends::SECONDARY;
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // No validation layers, which wgpu would load in debug builds.
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters
        .retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    let infos: Vec<_> = adapters.iter().map(wgpu::Adapter::get_info).collect();
    let mut kept: Vec<_> = unique(&infos).into_iter().map(|i| (describe(&infos[i]), adapters[i].clone())).collect();
    kept.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    let number = |(number, ((name, gpu), adapter))| {
        (DeviceInfo { id: DeviceId::Gpu(number), name, kind: DeviceKind::Gpu(gpu) }, adapter)
    };
    (0..).zip(kept).map(number).collect()
}

/// Real before software; then by PCI address, those without one last; then by name, for an order that does not change.
fn order((name, gpu): &(String, GpuInfo)) -> (bool, bool, Option<&str>, &str) {
    (gpu.software, gpu.pci.is_none(), gpu.pci.as_deref(), name)
}

/// The indices of the adapters that list each card once, through the best interface that lists it.
fn unique(infos: &[wgpu::AdapterInfo]) -> Vec<usize> {
    let mut by_preference: Vec<usize> = (0..infos.len()).collect();
    by_preference.sort_by_key(|&i| preference(infos[i].backend));
    // Each card with all of its adapters.
    let mut cards: Vec<Vec<usize>> = Vec::new();
    for i in by_preference {
        let same = cards.iter_mut().find(|card| {
            let address = |j: &usize| pci(&infos[*j]);
            match (pci(&infos[i]), card.iter().find_map(address)) {
                (Some(one), Some(other)) => one == other,
                _ => {
                    let known_there = card.iter().any(|&j| infos[j].backend == infos[i].backend);
                    !known_there && card.iter().any(|&j| could_be_same(&infos[i], &infos[j]))
                }
            }
        });
        match same {
            Some(card) => card.push(i),
            None => cards.push(vec![i]),
        }
    }
    cards.iter().map(|card| card[0]).collect()
}

/// Lower is better. OpenGL is last: its compute shaders came late, and its drivers are tested with games.
fn preference(backend: wgpu::Backend) -> u8 {
    match backend {
        wgpu::Backend::Vulkan | wgpu::Backend::Metal => 0,
        wgpu::Backend::Dx12 => 1,
        _ => 2,
    }
}

/// The PCI address, where it is reliable. wgpu's DX12 looks it up by vendor and device id, and so gives identical cards the
/// address of the first one (`get_adapter_pci_info` in wgpu-hal 30).
fn pci(info: &wgpu::AdapterInfo) -> Option<&str> {
    let known = info.backend != wgpu::Backend::Dx12 && !info.device_pci_bus_id.is_empty();
    known.then_some(info.device_pci_bus_id.as_str())
}

/// Whether two adapters of different interfaces may be one card: both or none are software, and ids or names agree.
fn could_be_same(one: &wgpu::AdapterInfo, other: &wgpu::AdapterInfo) -> bool {
    let ids = |info: &wgpu::AdapterInfo| (info.vendor, info.device);
    if is_software(one) != is_software(other) {
        return false;
    }
    if one.device != 0 && other.device != 0 { ids(one) == ids(other) } else { core_name(one) == core_name(other) }
}

/// The name without what interfaces add to it: OpenGL gives "NVIDIA GeForce RTX 3080/PCIe/SSE2" and
/// "AMD Radeon RX 6800 (radeonsi, navi21, …)" where Vulkan gives "NVIDIA GeForce RTX 3080" and
/// "AMD Radeon RX 6800 (RADV NAVI21)".
fn core_name(info: &wgpu::AdapterInfo) -> String {
    let name = info.name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let core = name.split(['(', '/']).next().unwrap_or_default().trim();
    core.trim_start_matches("mesa").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the adapter is a program on the CPU.
fn is_software(info: &wgpu::AdapterInfo) -> bool {
    const PROGRAMS: [&str; 5] = ["llvmpipe", "softpipe", "swiftshader", "lavapipe", "basic render driver"];
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu || PROGRAMS.iter().any(|program| name.contains(program))
}

fn describe(info: &wgpu::AdapterInfo) -> (String, GpuInfo) {
    let driver = [info.driver.trim(), info.driver_info.trim()];
    let gpu = GpuInfo {
        vendor: vendor(info.vendor).map_or_else(|| format!("{:#06x}", info.vendor), str::to_owned),
        vendor_id: info.vendor,
        device_id: info.device,
        driver: driver.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "),
        interface: match info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            wgpu::Backend::Gl => "gl",
            _ => "other",
        },
        pci: pci(info).map(str::to_owned),
        software: is_software(info),
    };
    (info.name.clone(), gpu)
}

/// The maker's name by its PCI id, or by Khronos' id where it has no PCI id.
fn vendor(id: u32) -> Option<&'static str> {
    match id {
        0x1002 | 0x1022 => Some("AMD"),
        0x1010 => Some("Imagination"),
        0x106b => Some("Apple"),
        0x10de => Some("NVIDIA"),
        0x13b5 => Some("Arm"),
        0x1414 => Some("Microsoft"),
        0x14e4 => Some("Broadcom"),
        0x5143 => Some("Qualcomm"),
        0x8086 => Some("Intel"),
        0x10005 => Some("Mesa"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::{AdapterInfo, Backend, DeviceType};

    fn adapter(backend: Backend, name: &str, ids: (u32, u32), address: &str) -> AdapterInfo {
        AdapterInfo {
            name: name.into(),
            vendor: ids.0,
            device: ids.1,
            device_pci_bus_id: address.into(),
            ..AdapterInfo::new(DeviceType::DiscreteGpu, backend)
        }
    }

    const RTX: (u32, u32) = (0x10de, 0x2206);

    #[test]
    fn a_card_listed_by_three_interfaces_is_one() {
        let infos = [
            adapter(Backend::Gl, "NVIDIA GeForce RTX 3080/PCIe/SSE2", (0x10de, 0), ""),
            adapter(Backend::Dx12, "NVIDIA GeForce RTX 3080", RTX, "0000:01:00.0"),
            adapter(Backend::Vulkan, "NVIDIA GeForce RTX 3080", RTX, "0000:01:00.0"),
        ];
        assert_eq!(unique(&infos), [2]);
    }

    #[test]
    fn identical_cards_stay_apart() {
        let infos = [
            adapter(Backend::Vulkan, "NVIDIA GeForce RTX 3080", RTX, "0000:01:00.0"),
            adapter(Backend::Vulkan, "NVIDIA GeForce RTX 3080", RTX, "0000:02:00.0"),
            adapter(Backend::Gl, "NVIDIA GeForce RTX 3080/PCIe/SSE2", (0x10de, 0), ""),
            adapter(Backend::Dx12, "NVIDIA GeForce RTX 3080", RTX, "0000:01:00.0"),
            adapter(Backend::Dx12, "NVIDIA GeForce RTX 3080", RTX, "0000:01:00.0"),
        ];
        assert_eq!(unique(&infos), [0, 1]);
        assert_eq!(unique(&infos[3..]), [0, 1], "dx12 alone, which gives both the address of the first");
    }

    #[test]
    fn identical_cards_without_addresses_are_paired_off() {
        let card = |backend| adapter(backend, "NVIDIA GeForce RTX 3080", RTX, "");
        let infos = [
            card(Backend::Dx12),
            card(Backend::Vulkan),
            card(Backend::Dx12),
            card(Backend::Vulkan),
            card(Backend::Dx12),
        ];
        // The third of DX12 has no partner in Vulkan: a card that Vulkan does not reach.
        assert_eq!(unique(&infos), [1, 3, 4]);
    }

    #[test]
    fn one_card_behind_two_drivers_of_one_interface_is_one() {
        let infos = [
            adapter(Backend::Vulkan, "AMD Radeon RX 6800 (RADV NAVI21)", (0x1002, 0x73bf), "0000:0b:00.0"),
            adapter(Backend::Vulkan, "AMD Radeon RX 6800", (0x1002, 0x73bf), "0000:0b:00.0"),
            adapter(Backend::Gl, "AMD Radeon RX 6800 (radeonsi, navi21, LLVM 15.0.6)", (0x1002, 0), ""),
        ];
        assert_eq!(unique(&infos), [0]);
    }

    #[test]
    fn different_cards_and_software_stay_apart() {
        let infos = [
            adapter(Backend::Vulkan, "Intel(R) UHD Graphics 620 (KBL GT2)", (0x8086, 0x5917), "0000:00:02.0"),
            adapter(Backend::Vulkan, "NVIDIA GeForce MX150", (0x10de, 0x1d10), "0000:01:00.0"),
            adapter(Backend::Vulkan, "llvmpipe (LLVM 15.0.6, 256 bits)", (0x10005, 0), ""),
            adapter(Backend::Gl, "Mesa Intel(R) UHD Graphics 620 (KBL GT2)", (0x8086, 0), ""),
            adapter(Backend::Gl, "llvmpipe (LLVM 15.0.6, 256 bits)", (0x10005, 0), ""),
        ];
        assert_eq!(unique(&infos), [0, 1, 2]);
        assert!(is_software(&infos[2]) && !is_software(&infos[0]));
    }

    #[test]
    fn ids_follow_addresses_and_software_comes_last() {
        let mut infos = [
            adapter(Backend::Vulkan, "llvmpipe (LLVM 15.0.6, 256 bits)", (0x10005, 0), ""),
            adapter(Backend::Gl, "an old card", (0x1002, 0), ""),
            adapter(Backend::Vulkan, "second", RTX, "0000:02:00.0"),
            adapter(Backend::Vulkan, "first", RTX, "0000:01:00.0"),
        ]
        .map(|info| describe(&info));
        infos.sort_by(|a, b| order(a).cmp(&order(b)));
        let names = infos.each_ref().map(|(name, _)| name.as_str());
        assert_eq!(names, ["first", "second", "an old card", "llvmpipe (LLVM 15.0.6, 256 bits)"]);
    }
}
