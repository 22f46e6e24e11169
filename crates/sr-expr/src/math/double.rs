//! Functions of `f64`.

use super::Functions;
use crate::simd::Vector;

impl Functions for f64 {
    #[inline(always)]
    fn exp<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::exp);
        result
    }
    #[inline(always)]
    fn log<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::log);
        result
    }
    #[inline(always)]
    fn sin<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::sin);
        result
    }
    #[inline(always)]
    fn cos<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::cos);
        result
    }
    #[inline(always)]
    fn tan<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::tan);
        result
    }
    #[inline(always)]
    fn tanh<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::tanh);
        result
    }
    #[inline(always)]
    fn asin<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::asin);
        result
    }
    #[inline(always)]
    fn acos<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::acos);
        result
    }
    #[inline(always)]
    fn atan<V: Vector<Element = Self>>(x: V) -> V {
        let mut result = x;
        V::patch(&mut result, &x, u16::MAX, libm::atan);
        result
    }
    #[inline(always)]
    fn pow<V: Vector<Element = Self>>(x: V, y: V) -> V {
        let (mut a, mut b) = ([0.0; 16], [0.0; 16]);
        // SAFETY: 16 elements hold the lanes.
        #[allow(unsafe_code)]
        unsafe {
            x.store(a.as_mut_ptr());
            y.store(b.as_mut_ptr());
            for i in 0..V::LANES {
                a[i] = libm::pow(a[i], b[i]);
            }
            V::load(a.as_ptr())
        }
    }
}
