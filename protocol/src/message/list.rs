//! Lists in messages: lent by whoever encodes, or lying verified in the bytes of a frame; iterated the same
//! way.

use core::fmt;

use flatbuffers::{ForwardsUOffset, Vector};

use super::{ConversationKind, Cursor, Head, InboxEntry, Member, PresenceEntry, PresenceState, Role};
use crate::generated as wire;
use crate::id::{ConversationId, UserId};

/// A verified vector whose elements read as `T`. Implemented for the lists of the messages only: its type is
/// a parameter of [`List`], not a projection of `T`, so that messages stay covariant in their lifetime.
pub trait Elements<T>: sealed::Verified + Copy {
    /// Number of elements.
    fn count(&self) -> usize;
    /// The element at `index`, which is below `count`.
    fn at(&self, index: usize) -> T;
}

mod sealed {
    pub trait Verified {}
    impl<T> Verified for flatbuffers::Vector<'_, T> {}
}

/// A borrowed list. `Copy`, three words; made from a slice with `from`, or by decoding.
#[derive(Clone, Copy)]
pub struct List<'a, T, V>(Inner<'a, T, V>);

#[derive(Clone, Copy)]
enum Inner<'a, T, V> {
    Lent(&'a [T]),
    Wire(V),
}

impl<'a, T: Copy, V: Elements<T>> List<'a, T, V> {
    pub(crate) fn wire(vector: V) -> Self {
        Self(Inner::Wire(vector))
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Lent(slice) => slice.len(),
            Inner::Wire(vector) => vector.count(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        match &self.0 {
            Inner::Lent(slice) => slice.get(index).copied(),
            Inner::Wire(vector) => (index < vector.count()).then(|| vector.at(index)),
        }
    }

    /// The elements, in order.
    #[inline]
    pub fn iter(&self) -> Iter<'a, T, V> {
        Iter { list: *self, range: 0..self.len() }
    }
}

impl<T, V> Default for List<'_, T, V> {
    fn default() -> Self {
        Self(Inner::Lent(&[]))
    }
}

impl<'a, T, V> From<&'a [T]> for List<'a, T, V> {
    fn from(slice: &'a [T]) -> Self {
        Self(Inner::Lent(slice))
    }
}

impl<'a, T, V, const N: usize> From<&'a [T; N]> for List<'a, T, V> {
    fn from(array: &'a [T; N]) -> Self {
        Self(Inner::Lent(array))
    }
}

impl<'a, T, V> From<&'a Vec<T>> for List<'a, T, V> {
    fn from(vec: &'a Vec<T>) -> Self {
        Self(Inner::Lent(vec))
    }
}

impl<T: Copy + PartialEq, V: Elements<T>> PartialEq for List<'_, T, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(*other)
    }
}

impl<T: Copy + fmt::Debug, V: Elements<T>> fmt::Debug for List<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a, T: Copy, V: Elements<T>> IntoIterator for List<'a, T, V> {
    type Item = T;
    type IntoIter = Iter<'a, T, V>;

    fn into_iter(self) -> Iter<'a, T, V> {
        self.iter()
    }
}

/// Iterator over a [`List`].
#[derive(Clone)]
pub struct Iter<'a, T, V> {
    list: List<'a, T, V>,
    range: core::ops::Range<usize>,
}

impl<T: Copy, V: Elements<T>> Iterator for Iter<'_, T, V> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.range.next().and_then(|index| self.list.get(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<T: Copy, V: Elements<T>> DoubleEndedIterator for Iter<'_, T, V> {
    fn next_back(&mut self) -> Option<T> {
        self.range.next_back().and_then(|index| self.list.get(index))
    }
}

impl<T: Copy, V: Elements<T>> ExactSizeIterator for Iter<'_, T, V> {}

macro_rules! element {
    ($name:ty, $vector:ty, |$wire:ident| $read:expr) => {
        impl<'a> Elements<$name> for Vector<'a, $vector> {
            #[inline]
            fn count(&self) -> usize {
                Vector::len(self)
            }

            #[inline]
            fn at(&self, index: usize) -> $name {
                let $wire = Vector::get(self, index);
                $read
            }
        }
    };
}

element!(Cursor, wire::Cursor, |w| Cursor {
    conversation: ConversationId::from_bytes(w.conversation().0),
    sequence: w.sequence(),
});
element!(Head, wire::HeadEntry, |w| Head {
    conversation: ConversationId::from_bytes(w.conversation().0),
    head: w.head(),
});
element!(UserId, wire::Id, |w| UserId::from_bytes(w.0));
element!(PresenceEntry, wire::PresenceEntry, |w| PresenceEntry {
    user: UserId::from_bytes(w.user().0),
    // W-8: an unknown state is read as the least that is known.
    state: PresenceState::from_number(w.state().0).unwrap_or(PresenceState::Offline),
    seen_ms: w.seen_ms(),
});
element!(Member<'a>, ForwardsUOffset<wire::Member<'a>>, |w| Member {
    user: UserId::from_bytes(w.fixed().user().0),
    name: w.name(),
    role: Role::from_number(w.fixed().role().0).unwrap_or(Role::Reader),
});
element!(InboxEntry<'a>, ForwardsUOffset<wire::InboxEntry<'a>>, |w| {
    let fixed = w.fixed();
    InboxEntry {
        conversation: ConversationId::from_bytes(fixed.conversation().0),
        head: fixed.head(),
        read: fixed.read(),
        delivered: w.delivered(),
        unread: w.unread(),
        muted_until_ms: w.muted_until_ms(),
        time_ms: fixed.time_ms(),
        role: Role::from_number(fixed.role().0).unwrap_or(Role::Reader),
        kind: ConversationKind::from_number(w.kind().0).unwrap_or(ConversationKind::Group),
        name: w.name(),
    }
});
