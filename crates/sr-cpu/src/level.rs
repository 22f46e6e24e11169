//! Loops compiled for each instruction set.

/// Compiles a function for every level, and calls the copy for the highest level that the machine has. The compiler
/// turns its loops into that level's vectors.
macro_rules! leveled {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $result)? {
                body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $type),*) $(-> $result)? {
                body($($arg),*)
            }
            match sr_expr::Level::detect() {
                // SAFETY: the machine has the level.
                #[cfg(target_arch = "x86_64")]
                sr_expr::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: the machine has the level.
                #[cfg(target_arch = "x86_64")]
                sr_expr::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}

pub(crate) use leveled;
