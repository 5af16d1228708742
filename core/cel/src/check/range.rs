//! Estimates: the least and the most that something can be.

/// From the least to the most, for sizes and for costs. What is too large to count stays at the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

impl Range {
    /// Nothing at all.
    pub const NONE: Range = Range::just(0);
    /// Anything.
    pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

    /// Exactly this.
    pub const fn just(n: u64) -> Range {
        Range { min: n, max: n }
    }

    /// The sum.
    pub fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// The product.
    pub fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// The product with a factor, rounded up.
    pub fn scaled(self, factor: f64) -> Range {
        // The conversion stops at the largest number.
        let scale = |n: u64| (n as f64 * factor).ceil() as u64;
        Range { min: scale(self.min), max: scale(self.max) }
    }

    /// What covers both.
    pub fn or(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
