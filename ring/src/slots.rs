//! The memory of a ring: a power of two of cells, each either empty or holding a value.
//!
//! Positions count up for ever, modulo 2^64; a position's cell is `position & mask`. The cells do not know
//! which of them are full: the counters in [`State`](crate::state::State) do, and these rules make it safe:
//!
//! - *W*: the sender alone writes, at positions `tail .. head + capacity`, where `head` is a count that it
//!   loaded with Acquire and that the receiver stored with Release after it had moved those values out;
//! - *R*: the receiver alone takes, at positions `head .. published`, where `published` is a count that it
//!   loaded with Acquire and that the sender stored with Release after it had written those values.
//!
//! So no cell is in two hands at once, and each position is written once and taken once.

use std::mem::MaybeUninit;

use crate::sync::UnsafeCell;

pub(crate) struct Slots<T> {
    cells: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a shared reference gives access to a cell only through `write` and `take`, whose callers keep
// rules W and R; the values themselves may change threads.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// `capacity` is rounded up to a power of two, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.checked_next_power_of_two().expect("a ring's capacity is below 2^63");
        Self { cells: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect() }
    }

    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        self.cells.len()
    }

    #[inline(always)]
    fn cell(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // The mask is computed from the length, so the bounds check is seen to be needless.
        &self.cells[position & (self.cells.len() - 1)]
    }

    /// Moves a value into an empty cell.
    ///
    /// # Safety
    /// The position is the caller's by rule W, and its cell is empty.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, position: usize, value: T) {
        self.cell(position).with_mut(|cell| {
            // SAFETY: the pointer is the cell's own; the caller is the only one at it (rule W). What is
            // overwritten is empty, so nothing is lost without being dropped.
            unsafe { (*cell).write(value) };
        });
    }

    /// Moves the value out; the cell is empty afterwards.
    ///
    /// # Safety
    /// The position is the caller's by rule R, and its cell holds a value.
    #[inline(always)]
    pub(crate) unsafe fn take(&self, position: usize) -> T {
        // `with_mut`, although it only reads: taking ends the value's life in the cell, and loom must see it
        // as a write to catch a sender that comes back too early.
        self.cell(position).with_mut(|cell| {
            // SAFETY: the pointer is the cell's own; the caller is the only one at it and the cell was
            // written (rule R). The caller counts the position as taken, so it is read once.
            unsafe { (*cell).assume_init_read() }
        })
    }
}
