//! The hashes of the workspace. All of them give the same numbers on every machine; some stand in files.
//!
//! - [`fnv1a`] of bytes, where a name becomes a number;
//! - [`mix`] of words, where collisions have to be rare: fingerprints of problems and expressions;
//! - [`quick`] of words, for tables that compare their keys too. [`spread`] makes its result fit for them.

/// 2⁶⁴ over the golden ratio, odd: multiplying by it maps no two numbers to one and carries low bits to high ones.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of no bytes under [`fnv1a`].
pub const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a (Fowler, Noll & Vo) of bytes.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(FNV_OFFSET, |hash, byte| fnv1a_step(hash, byte.into()))
}

/// One step of FNV-1a, which takes any word in the place of a byte.
#[inline]
pub fn fnv1a_step(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(FNV_PRIME)
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood, 2014): a one-to-one map of 64 bits of which every bit of the result
/// depends on every bit of the argument.
#[inline]
pub fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Takes a word into a hash, by one step of SplitMix64.
#[inline]
pub fn mix(hash: u64, word: u64) -> u64 {
    finish((hash ^ word).wrapping_add(GOLDEN))
}

/// Takes a word into a hash, by one product. The high bits of the result are good, the low ones are not.
#[inline]
pub fn quick(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(GOLDEN)
}

/// Makes the low bits of a [`quick`] hash as good as its high ones: tables use both ends.
#[inline]
pub fn spread(hash: u64) -> u64 {
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_are_met() {
        // Noll's test suite of FNV-1a.
        assert_eq!(fnv1a(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
        // The first numbers of SplitMix64 with seed 0, as java.util.SplittableRandom gives them.
        assert_eq!(finish(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(finish(GOLDEN.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(mix(0, 0), 0xe220_a839_7b1d_cdaf);
    }
}
