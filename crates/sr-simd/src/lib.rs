//! Instruction sets: which one a machine has, and code that is compiled for each.
//!
//! A [`Level`] is one of three sets. [`for_level!`] compiles a function with the instructions of a level, [`at_level!`]
//! picks one of three such functions, and [`leveled!`] does both for a loop that the compiler turns into vectors:
//!
//! ```
//! sr_simd::leveled! {
//!     /// `to += factor · from`
//!     pub fn add_scaled(to: &mut [f32], from: &[f32], factor: f32) {
//!         to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
//!     }
//! }
//! let mut sums = [1.0, 2.0];
//! add_scaled(&mut sums, &[10.0, 20.0], 0.5);
//! assert_eq!(sums, [6.0, 12.0]);
//! ```
//!
//! No other crate names an instruction set (a test sees to it), so a level never enables what it has not checked.
//! This crate has no vectors: those of the evaluator are in `sr-expr`, those of the transformer in `sr-cpu`.

use std::sync::OnceLock;

use strum::IntoStaticStr;

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Level {
    /// What every machine of the target has: SSE2 on x86-64.
    Portable,
    /// AVX2 and FMA: x86-64-v3.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: x86-64-v4.
    Avx512,
}

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The environment variable by which a process is kept to a lower level than its machine has.
    pub const VARIABLE: &str = "SR_SIMD";

    /// The highest level that this machine has, or the one that [`Level::VARIABLE`] names.
    ///
    /// The variable is read once. What it names has to be available, so anything else in it counts as nothing here; a
    /// program refuses it by [`Level::of_environment`].
    pub fn detect() -> Level {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let highest = || Level::ALL.into_iter().rfind(|level| level.is_available());
            Level::of_environment().ok().flatten().or_else(highest).expect("the portable level is always there")
        })
    }

    /// The level that [`Level::VARIABLE`] names, if it is set.
    ///
    /// # Errors
    /// One line that says what the variable may be, if it is no level or one that this machine lacks.
    pub fn of_environment() -> Result<Option<Level>, String> {
        let Some(name) = std::env::var_os(Level::VARIABLE) else { return Ok(None) };
        let available = Level::ALL.into_iter().filter(|level| level.is_available());
        match available.clone().find(|level| name == level.name()) {
            Some(level) => Ok(Some(level)),
            None => {
                let names: Vec<&str> = available.map(Level::name).collect();
                let (variable, name) = (Level::VARIABLE, name.to_string_lossy());
                Err(format!("{variable} is \"{name}\", this machine has {}", names.join(", ")))
            }
        }
    }

    /// Whether this machine has it. Asking is cheap: the answer is cached.
    pub fn is_available(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => features::has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => features::has_avx2() && features::has_avx512(),
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx2 | Level::Avx512 => false,
        }
    }

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What the functions of a level may be compiled with: a function with `target_feature` may be called only where the
/// machine has all that it enables. [`for_level!`] enables the same; a test compares.
#[cfg(target_arch = "x86_64")]
mod features {
    macro_rules! features {
        ($list:ident $detected:ident: $($feature:tt)*) => {
            #[cfg(test)]
            pub(super) const $list: &[&str] = &[$($feature),*];
            #[inline]
            pub(super) fn $detected() -> bool {
                $(is_x86_feature_detected!($feature))&&*
            }
        };
    }
    features!(AVX2 has_avx2: "avx2" "fma" "popcnt");
    // The compiler takes `f16c` to be a part of `avx512f`.
    features!(AVX512 has_avx512: "avx512f" "avx512bw" "avx512dq" "avx512vl" "f16c");
}

impl Default for Level {
    fn default() -> Self {
        Level::detect()
    }
}

/// Compiles a function with the instructions of a level: `avx2` or `avx512`. It is `unsafe` to call where the level is not
/// known to be [available](Level::is_available).
#[macro_export]
macro_rules! for_level {
    (portable: $($function:tt)*) => { $($function)* };
    (avx2: $($function:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,popcnt")]
        $($function)*
    };
    (avx512: $($function:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")]
        $($function)*
    };
}

/// Evaluates the expression of a level; those of levels that the architecture does not have are not compiled.
#[macro_export]
macro_rules! at_level {
    ($level:expr, portable => $portable:expr, avx2 => $avx2:expr, avx512 => $avx512:expr $(,)?) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx512 => $avx512,
            #[cfg(target_arch = "x86_64")]
            $crate::Level::Avx2 => $avx2,
            _ => $portable,
        }
    };
}

/// Compiles a safe function for every level, and calls the copy of the level that is [detected](Level::detect). The
/// compiler turns its loops into that level's vectors.
#[macro_export]
macro_rules! leveled {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $result)? $body
            $crate::for_level! { avx2: fn avx2($($arg: $type),*) $(-> $result)? { portable($($arg),*) } }
            $crate::for_level! { avx512: fn avx512($($arg: $type),*) $(-> $result)? { portable($($arg),*) } }
            $crate::at_level!(
                $crate::Level::detect(),
                portable => portable($($arg),*),
                // SAFETY: the machine has the level.
                avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: the machine has the level.
                avx512 => unsafe { avx512($($arg),*) },
            )
        }
    };
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::features::{AVX2, AVX512};

    fn sources(folder: &Path, out: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push((path.display().to_string(), fs::read_to_string(&path).expect("text")));
            }
        }
    }

    #[test]
    fn levels_check_every_feature_that_is_enabled() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut all = Vec::new();
        sources(&crates, &mut all);
        let mut n_features = 0;
        for (path, text) in &all {
            for list in text.split("target_feature(enable = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(path.contains("sr-simd/src"), "{path}: instruction sets are named in sr-simd alone");
                let features: Vec<&str> = list.split(',').collect();
                let is_avx512 = features.iter().any(|feature| feature.starts_with("avx512"));
                for feature in features {
                    let is_checked = AVX2.contains(&feature) || is_avx512 && AVX512.contains(&feature);
                    assert!(is_checked, "{path}: {feature} is enabled, and no level checks it");
                    n_features += 1;
                }
            }
        }
        assert!(n_features >= 10, "{n_features} features in {} files", all.len());
    }
}
