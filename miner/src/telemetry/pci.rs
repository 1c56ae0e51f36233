//! PCI addresses, which Linux and NVML write with different widths.

use std::str::FromStr;

/// The address of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// Text that is no PCI address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidPciAddress;

impl FromStr for PciAddress {
    type Err = InvalidPciAddress;

    /// Reads `domain:bus:device.function` in hexadecimal of any width.
    fn from_str(text: &str) -> Result<Self, InvalidPciAddress> {
        let hex = |digits: &str, limit: u32| {
            // `from_str_radix` alone would take a sign.
            let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u32::from_str_radix(digits, 16).ok().filter(|value| *value <= limit)
        };
        let parse = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            Some(Self {
                domain: hex(domain, u32::MAX)?,
                bus: hex(bus, 0xff)? as u8,
                device: hex(device, 0x1f)? as u8,
                function: hex(function, 7)? as u8,
            })
        };
        parse().ok_or(InvalidPciAddress)
    }
}

impl PciAddress {
    /// The name of its folder in `/sys/bus/pci/devices`.
    #[cfg(target_os = "linux")]
    pub(super) fn in_sysfs(self) -> String {
        let Self { domain, bus, device, function } = self;
        format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }

    /// As NVML's `busId` has it: eight digits of the domain.
    pub(super) fn in_nvml(self) -> String {
        let Self { domain, bus, device, function } = self;
        format!("{domain:08x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn each_interface_gets_its_width() {
        for (text, sysfs, nvml) in [
            ("0000:01:00.0", "0000:01:00.0", "00000000:01:00.0"),
            ("0000:C1:00.0", "0000:c1:00.0", "00000000:c1:00.0"),
            ("00000000:0b:00.1", "0000:0b:00.1", "00000000:0b:00.1"),
            ("10000:e1:1f.7", "10000:e1:1f.7", "00010000:e1:1f.7"),
        ] {
            let address: PciAddress = text.parse().unwrap();
            assert_eq!((address.in_sysfs().as_str(), address.in_nvml().as_str()), (sysfs, nvml));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "01:00.0",
            "0000:01:00",
            "0000:01:20.0",
            "0000:01:00.8",
            "0000:100:00.0",
            "0000:+1:00.0",
            "::.",
            "a/b:01:00.0",
        ] {
            assert_eq!(text.parse::<PciAddress>(), Err(InvalidPciAddress), "{text}");
        }
    }
}
