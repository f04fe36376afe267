//! The receive buffers that all connections of a ring share.
//!
//! The kernel takes the buffer at the head of a ring of descriptions when bytes arrive, so an idle
//! connection owns none; we put it back at the tail when the bytes were handed over. Both lie in anonymous
//! mappings: a buffer that was never used costs no memory. The kernel takes buffers in turn, so all that it
//! was ever given become resident however little arrives; it gets a part of them, and more each time that a
//! turn has run out.
//!
//! Invariants: every buffer that is `given` is either the kernel's (described between head and tail) or named
//! by exactly one completion that was not handled yet; only the latter are touched here.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The only group of buffers.
pub(super) const GROUP: u16 = 0;

/// The part of the buffers that the kernel is given at first: a quarter of a mebibyte by the server's limits, which
/// is 26 bytes for each of ten thousand idle connections where all of them would be 105.
const FIRST_PART: u16 = 4;

pub(super) struct Buffers {
    /// `count` descriptions; the tail lies in the first one's reserved field, as the kernel has it.
    descriptions: Mapping,
    data: Mapping,
    /// A power of two.
    count: u16,
    /// How many are in use: those with smaller ids.
    given: u16,
    bytes: u32,
    tail: u16,
}

impl Buffers {
    /// `count` buffers (rounded up to a power of two) of `bytes` each, of which the first part is for the kernel.
    pub(super) fn new(count: u16, bytes: u32) -> io::Result<Self> {
        let count = count.next_power_of_two();
        let descriptions = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let data = Mapping::new(usize::from(count) * bytes as usize)?;
        let mut buffers = Self { descriptions, data, count, given: 0, bytes, tail: 0 };
        buffers.give((count / FIRST_PART).max(1));
        buffers.publish();
        Ok(buffers)
    }

    /// Puts twice as many into use, or all there are; the kernel sees them after [`Buffers::publish`].
    pub(super) fn widen(&mut self) {
        self.give(self.given.saturating_mul(2).min(self.count));
    }

    fn give(&mut self, up_to: u16) {
        let first = std::mem::replace(&mut self.given, up_to);
        for id in first..up_to {
            self.give_back(id);
        }
    }

    pub(super) fn register(&self, io: &IoUring) -> io::Result<()> {
        let address = self.descriptions.start.as_ptr() as u64;
        // SAFETY: the mapping holds `count` descriptions and is page-aligned. It outlives the ring: the
        // driver unmaps it only after every request has ended (`Ring::quench`), else leaks it.
        unsafe { io.submitter().register_buf_ring_with_flags(address, self.count, GROUP, 0) }
    }

    /// How many are in use.
    pub(super) fn given(&self) -> usize {
        usize::from(self.given)
    }

    /// The first `filled` bytes of buffer `id`, which a completion has just named.
    pub(super) fn filled(&mut self, id: u16, filled: usize) -> &mut [u8] {
        assert!(id < self.given && filled <= self.bytes as usize, "the kernel names our buffers only");
        // SAFETY: inside the mapping by the assertion. The kernel gave the buffer up with its completion
        // and has it back only after `give_back`; `&mut self` keeps two slices from living at once.
        unsafe { std::slice::from_raw_parts_mut(self.start_of(id), filled) }
    }

    fn start_of(&self, id: u16) -> *mut u8 {
        // SAFETY: callers keep `id < count`, so the offset stays inside the mapping.
        unsafe { self.data.start.as_ptr().add(usize::from(id) * self.bytes as usize) }
    }

    /// Describes buffer `id` behind the others; the kernel sees it after [`Buffers::publish`].
    pub(super) fn give_back(&mut self, id: u16) {
        assert!(id < self.given, "the kernel names our buffers only");
        let place = usize::from(self.tail & (self.count - 1));
        let address = self.start_of(id) as u64;
        // SAFETY: `place < count`, so inside the mapping and aligned. The kernel reads no description
        // between tail and head + count, and this one is there: `id` was outside the ring. Zeroed bytes
        // are a valid description. Only its own fields are written, never the tail beside the first.
        unsafe {
            let description = self.descriptions.start.as_ptr().cast::<BufRingEntry>().add(place);
            (*description).set_addr(address);
            (*description).set_len(self.bytes);
            (*description).set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(super) fn publish(&mut self) {
        // SAFETY: the first description is inside the mapping and initialised; its reserved field is the
        // ring's tail, aligned for u16, and written by us alone.
        let tail = unsafe {
            let first = self.descriptions.start.as_ptr().cast::<BufRingEntry>();
            &*BufRingEntry::tail(first).cast::<AtomicU16>()
        };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous memory, aligned to a page, zeroed, taken from the system only where it is touched.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap gave address 0"))?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours alone, of this length, and not used after this; a failure leaks it, no more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_distinct_whole_and_as_many_as_asked() {
        let mut buffers = Buffers::new(5, 100).unwrap();
        assert_eq!(buffers.given(), 2);
        for given in [4, 8, 8] {
            buffers.widen();
            assert_eq!(buffers.given(), given);
        }
        for id in 0..8 {
            buffers.filled(id, 100).fill(id as u8);
        }
        for id in 0..8 {
            assert_eq!(buffers.filled(id, 100), [id as u8; 100]);
        }
    }

    #[test]
    #[should_panic(expected = "our buffers only")]
    fn a_buffer_that_is_not_ours_is_not_touched() {
        Buffers::new(8, 100).unwrap().filled(2, 1);
    }
}
