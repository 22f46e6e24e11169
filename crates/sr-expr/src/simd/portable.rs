//! Arrays, for every machine. The compiler makes baseline vectors of the loops.

use super::{Bits, Mask, Vector};

macro_rules! portable {
    ($vector:ident, $mask:ident, $bits:ident, $element:ty, $int:ty, $uint:ty, $lanes:literal, $mantissa:literal, $sqrt_half:literal) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $vector([$element; $lanes]);
        #[derive(Clone, Copy)]
        pub(crate) struct $mask([bool; $lanes]);
        #[derive(Clone, Copy)]
        pub(crate) struct $bits([$int; $lanes]);

        impl $vector {
            #[inline(always)]
            fn map(self, f: impl Fn($element) -> $element) -> Self {
                $vector(std::array::from_fn(|i| f(self.0[i])))
            }
            #[inline(always)]
            fn zip(self, other: Self, f: impl Fn($element, $element) -> $element) -> Self {
                $vector(std::array::from_fn(|i| f(self.0[i], other.0[i])))
            }
        }

        #[allow(unsafe_code)]
        impl Vector for $vector {
            type Element = $element;
            type Mask = $mask;
            type Bits = $bits;
            const LANES: usize = $lanes;
            const MAX_TILE: usize = 2;
            const LONG_TILE: usize = 2;
            const FUSES: bool = false;
            type Wide = F64x8;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                $vector([value; $lanes])
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                $vector(unsafe { from.cast::<[$element; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[$element; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.zip(other, |a, b| a + b)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.zip(other, |a, b| a - b)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.zip(other, |a, b| a * b)
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                self.zip(other, |a, b| a / b)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.map(<$element>::sqrt)
            }
            #[inline(always)]
            fn neg(self) -> Self {
                self.map(|a| -a)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.map(<$element>::abs)
            }
            #[inline(always)]
            fn mul_add(self, by: Self, plus: Self) -> Self {
                self.mul(by).add(plus)
            }
            #[inline(always)]
            fn mul_add_any(self, by: Self, plus: Self) -> Self {
                self.mul(by).add(plus)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.zip(other, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.zip(other, |a, b| if a > b { a } else { b })
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                self.trunc_by_addition((1_u64 << $mantissa) as $element)
            }
            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                self.scale_by_bits::<$mantissa>(n, <$element>::MAX_EXP as i64 - 1)
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                self.split_by_bits::<$mantissa>(<$element>::MAX_EXP as i64 - 1, $sqrt_half)
            }
            #[inline(always)]
            fn widen(self) -> [F64x8; 2] {
                self.to_wide()
            }
            #[inline(always)]
            fn narrow(halves: [F64x8; 2]) -> Self {
                Self::from_wide(halves)
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                $mask(std::array::from_fn(|i| self.0[i] < other.0[i]))
            }
            #[inline(always)]
            fn le(self, other: Self) -> $mask {
                $mask(std::array::from_fn(|i| self.0[i] <= other.0[i]))
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(std::array::from_fn(|i| self.0[i] == other.0[i]))
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $vector(std::array::from_fn(|i| if mask.0[i] { yes.0[i] } else { no.0[i] }))
            }
            #[inline(always)]
            fn to_bits(self) -> $bits {
                $bits(self.0.map(|a| a.to_bits() as $int))
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                $vector(bits.0.map(|a| <$element>::from_bits(a as $uint)))
            }
        }

        impl Mask for $mask {
            #[inline(always)]
            fn first(n: usize) -> Self {
                $mask(std::array::from_fn(|i| i < n))
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $mask(std::array::from_fn(|i| self.0[i] & other.0[i]))
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $mask(std::array::from_fn(|i| self.0[i] | other.0[i]))
            }
            #[inline(always)]
            fn not(self) -> Self {
                $mask(self.0.map(|a| !a))
            }
            #[inline(always)]
            fn to_u16(self) -> u16 {
                self.0.iter().enumerate().fold(0, |bits, (i, &a)| bits | u16::from(a) << i)
            }
        }

        impl Bits for $bits {
            type Mask = $mask;
            #[inline(always)]
            fn splat(value: i64) -> Self {
                $bits([value as $int; $lanes])
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $bits(std::array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $bits(std::array::from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $bits(std::array::from_fn(|i| self.0[i] & other.0[i]))
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $bits(std::array::from_fn(|i| self.0[i] | other.0[i]))
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                $bits(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
            }
            #[inline(always)]
            fn shl<const N: u32>(self) -> Self {
                $bits(self.0.map(|a| a << N))
            }
            #[inline(always)]
            fn shr<const N: u32>(self) -> Self {
                $bits(self.0.map(|a| (a as $uint >> N) as $int))
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                $mask(std::array::from_fn(|i| self.0[i] > other.0[i]))
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(std::array::from_fn(|i| self.0[i] == other.0[i]))
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                $bits(std::array::from_fn(|i| if mask.0[i] { yes.0[i] } else { no.0[i] }))
            }
        }
    };
}

portable!(F64x8, M64x8, I64x8, f64, i64, u64, 8, 52, 0x3fe6_a09e_0000_0000);
portable!(F32x16, M32x16, I32x16, f32, i32, u32, 16, 23, 0x3f35_04f3);

impl F64x8 {
    #[inline(always)]
    fn to_wide(self) -> [F64x8; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn from_wide([first, _]: [F64x8; 2]) -> Self {
        first
    }
}

impl F32x16 {
    #[inline(always)]
    fn to_wide(self) -> [F64x8; 2] {
        [0, 8].map(|start| F64x8(std::array::from_fn(|i| f64::from(self.0[start + i]))))
    }
    #[inline(always)]
    fn from_wide([first, second]: [F64x8; 2]) -> Self {
        F32x16(std::array::from_fn(|i| (if i < 8 { first.0[i] } else { second.0[i - 8] }) as f32))
    }
}
