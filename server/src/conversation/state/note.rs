//! The note about members: how far each has read, what its devices have, until when it is muted.
//!
//! ```text
//! | user 16 | read 8 | delivered 8 | muted until 8 | next member ...
//! ```
//!
//! One note holds what changed of a conversation since the last one, so a crowd of readers costs one record a
//! second. It says how things stand, not by how much they moved: one that is lost is made good by the next.

use ringwire_protocol::id::UserId;

/// How a member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Up to where it has read.
    pub read: u64,
    /// Up to where one of its devices has it.
    pub delivered: u64,
    /// No wake-ups before that; 0: not muted.
    pub muted_until_ms: u64,
}

/// Bytes of one member in a note.
pub const NOTE_MEMBER_BYTES: usize = 40;

/// Adds a member to a note.
pub fn put_note(out: &mut Vec<u8>, user: UserId, standing: Standing) {
    out.extend_from_slice(user.as_bytes());
    for number in [standing.read, standing.delivered, standing.muted_until_ms] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// The members of a note; `None` where it does not end with a whole one.
pub fn read_note(bytes: &[u8]) -> Option<impl Iterator<Item = (UserId, Standing)> + '_> {
    let (members, []) = bytes.as_chunks::<NOTE_MEMBER_BYTES>() else { return None };
    Some(members.iter().map(|member| {
        let (user, numbers) = member.split_first_chunk::<16>().expect("a member is longer than its id");
        let number = |nth: usize| {
            let bytes = numbers[8 * nth..].first_chunk::<8>().expect("three numbers follow the id");
            u64::from_le_bytes(*bytes)
        };
        let standing = Standing { read: number(0), delivered: number(1), muted_until_ms: number(2) };
        (UserId::from_bytes(*user), standing)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_put_into_it_and_a_cut_one_says_nothing() {
        let members = [("ada", 1, 2, 0), ("bob", 7, 9, u64::MAX)].map(|(name, read, delivered, muted)| {
            (UserId::from_name(name), Standing { read, delivered, muted_until_ms: muted })
        });
        let mut note = Vec::new();
        for (user, standing) in members {
            put_note(&mut note, user, standing);
        }
        assert_eq!(read_note(&note).expect("whole").collect::<Vec<_>>(), members);
        assert!((1..NOTE_MEMBER_BYTES).all(|cut| read_note(&note[..note.len() - cut]).is_none()));
        assert_eq!(read_note(&[]).expect("empty").count(), 0);
    }
}
