//! Devices. Only this module selects a backend.

use std::{fmt, str::FromStr};

use burn::tensor::Device;
use strum::IntoStaticStr;

use crate::Error;

/// A kind of device, as named on command lines: `cpu`, `ndarray` or `cuda`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DeviceKind {
    /// The pure Rust CPU backend (`flex`), part of every build.
    #[default]
    Cpu,
    /// The older CPU backend, deprecated upstream; needs feature `ndarray`.
    Ndarray,
    /// The first NVIDIA GPU; needs feature `cuda`, and the CUDA toolkit's NVRTC and headers when run.
    Cuda,
}

/// Returns whether `sr-cpu` may compute instead.
pub(crate) fn is_flex(device: &Device) -> bool {
    *device == Device::flex()
}

/// Returns whether the device has memory of its own, apart from the host.
pub(crate) fn is_gpu(device: &Device) -> bool {
    !is_flex(device) && ndarray().ok().as_ref() != Some(device)
}

impl DeviceKind {
    /// Opens the device. It never falls back to another one.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] if this build lacks the backend, [`Error::NoDevice`] if the machine lacks the hardware.
    pub fn open(self) -> Result<Device, Error> {
        match self {
            DeviceKind::Cpu => Ok(cpu()),
            DeviceKind::Ndarray => ndarray(),
            DeviceKind::Cuda => cuda(),
        }
    }

    fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for DeviceKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [DeviceKind::Cpu, DeviceKind::Ndarray, DeviceKind::Cuda]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::UnknownDevice(name.to_owned()))
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn cpu() -> Device {
    Device::flex()
}

/// Checks that burn's default device can be used. burn reads the states of optimisers there, whatever device they are
/// for. In a CUDA build it is the GPU, and without one burn would panic. `BURN_DEVICE` is burn's own setting for it.
///
/// # Errors
/// [`Error::DefaultDevice`] if it cannot be used.
pub fn check_default_device() -> Result<(), Error> {
    #[cfg(feature = "cuda")]
    if std::env::var_os("BURN_DEVICE").is_none() && cuda().is_err() {
        return Err(Error::DefaultDevice);
    }
    Ok(())
}

#[cfg(feature = "ndarray")]
fn ndarray() -> Result<Device, Error> {
    #[allow(deprecated)] // kept on purpose while the pinned burn has it
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Device, Error> {
    Err(Error::NotBuilt { device: "ndarray", feature: "ndarray" })
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, Error> {
    // Opening CUDA without a driver panics, listing devices does not.
    if Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().is_empty() {
        return Err(Error::NoDevice("CUDA"));
    }
    Ok(Device::cuda(0))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, Error> {
    Err(Error::NotBuilt { device: "CUDA", feature: "cuda" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_are_errors() {
        for kind in [DeviceKind::Cpu, DeviceKind::Ndarray, DeviceKind::Cuda] {
            assert_eq!(kind.to_string().parse::<DeviceKind>().unwrap(), kind);
        }
        let message = "gpu".parse::<DeviceKind>().unwrap_err().to_string();
        assert_eq!(message, "unknown device `gpu`, expected cpu, ndarray or cuda");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn asking_for_a_missing_backend_says_how_to_get_it() {
        let message = DeviceKind::Cuda.open().unwrap_err().to_string();
        assert_eq!(message, "built without CUDA; rebuild with --features cuda");
    }
}
