//! What happened, as one number, and on request as text.
//!
//! The number is what two runs of one seed are compared by, so everything that a difference could show in goes
//! into it.

use crate::random::mix;

/// The story of a world.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    /// Whether the story is told on standard output.
    is_printed: bool,
}

impl Trace {
    /// A story that has not begun; told on standard output, or not.
    pub fn new(is_printed: bool) -> Self {
        Trace { is_printed, ..Trace::default() }
    }

    /// Notes that something happened.
    pub fn note(&mut self, now_us: u64, what: &'static str, a: u64, b: u64) {
        self.events += 1;
        // A name's length and first byte tell it apart well enough: the story is the same if time, numbers and
        // order are.
        let word = what.as_bytes().first().map_or(0, |byte| u64::from(*byte)) << 8 | what.len() as u64;
        self.hash = mix(self.hash ^ now_us.rotate_left(20) ^ word) ^ mix(a ^ b.rotate_left(32));
        if self.is_printed {
            println!("{:>12.3} ms  {what} {a} {b}", now_us as f64 / 1000.0);
        }
    }

    /// Tells more, to people only.
    pub fn tell(&self, now_us: u64, text: impl FnOnce() -> String) {
        if self.is_printed {
            println!("{:>12.3} ms    {}", now_us as f64 / 1000.0, text());
        }
    }

    /// The number.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many things happened.
    pub fn events(&self) -> u64 {
        self.events
    }
}
