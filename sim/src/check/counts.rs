//! Counts: once nothing changes any more, everybody who watches them knows how many members are online and how many have
//! got and read what is newest, as soon as presence is right and two seconds more: homes and owners tell once a second.

use ringwire_protocol::message::Counts as Told;

use super::lasting::Lasting;
use super::{Promise, Verdict};

/// How long it takes to be told, besides what presence takes: a second each of homes, of owners and of cursors that are
/// written, and the network.
const TELLING_US: u64 = 8_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Counts {
    lasting: Lasting,
}

/// What is wrong with what somebody was told of a conversation, if anything. `online`: how many members are there, if
/// that is clear.
pub fn compare(
    told: Option<&Told>,
    head: u64,
    online: Option<u32>,
    (delivered, read): (u32, u32),
) -> Option<String> {
    let Some(told) = told else { return Some("nothing".to_owned()) };
    let fits = told.sequence == head
        && online.is_none_or(|online| told.online == online)
        && (told.delivered, told.read) == (delivered, read);
    (!fits).then(|| {
        format!("{told:?}, where {online:?} are there, and {delivered} have got and {read} have read {head}")
    })
}

impl Counts {
    /// Everybody is connected, nothing goes wrong; somebody was told `wrong` counts, or nobody was.
    ///
    /// # Errors
    /// It has been wrong for too long.
    pub fn on_look(&mut self, now_us: u64, lasts_us: u64, wrong: Option<&str>) -> Verdict {
        self.lasting.on_look(Promise::Counts, now_us, lasts_us + TELLING_US, wrong)
    }
}

#[cfg(test)]
mod tests {
    use ringwire_protocol::ConversationId;

    use super::*;

    #[test]
    fn canary_counts_that_are_not_what_is() {
        let told = Told { conversation: ConversationId::ZERO, online: 2, sequence: 9, delivered: 3, read: 1 };
        assert_eq!(compare(Some(&told), 9, Some(2), (3, 1)), None);
        assert_eq!(compare(Some(&told), 9, None, (3, 1)), None, "who is there is not clear");
        for (head, online, caught_up) in
            [(8, Some(2), (3, 1)), (9, Some(3), (3, 1)), (9, Some(2), (2, 1)), (9, Some(2), (3, 2))]
        {
            assert!(compare(Some(&told), head, online, caught_up).is_some());
        }
        assert!(compare(None, 9, Some(2), (3, 1)).is_some());
    }

    #[test]
    fn canary_counts_that_are_never_told() {
        let mut counts = Counts::default();
        assert!(counts.on_look(1_000, 5_000_000, Some("wrong")).is_ok());
        assert!(counts.on_look(13_001_000, 5_000_000, Some("wrong")).is_ok());
        assert!(counts.on_look(13_001_001, 5_000_000, Some("wrong")).is_err());
        assert!(counts.on_look(13_001_002, 5_000_000, None).is_ok());
    }
}
