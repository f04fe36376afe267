//! Folding, by example and by random logs.

use ringwire_protocol::ConversationId;

use super::*;
use crate::core::{Draft, Random};

fn below(random: &mut Random, bound: u64) -> u64 {
    random.next_u64() % bound
}

fn user(number: u64) -> UserId {
    UserId::from_name(&number.to_string())
}

fn message(sequence: u64, sender: u64, draft: Draft) -> Message {
    Message {
        conversation: ConversationId::from_name("r"),
        sequence,
        time_ms: sequence * 10,
        sender: user(sender),
        origin: sender,
        client_sequence: sequence,
        reference: draft.reference,
        kind: draft.kind,
        body: draft.body,
    }
}

/// What a person sees.
fn shown(timeline: &Timeline) -> Vec<String> {
    let line = |(sequence, entry): (u64, &Entry)| {
        let reactions: Vec<String> = entry
            .reactions()
            .map(|reaction| {
                format!("{}{}", &reaction.sender.to_string()[..4], reaction.text().unwrap_or("?"))
            })
            .collect();
        let reactions = reactions.join(" ");
        match entry.deleted() {
            Some(deleted) => format!("{sequence} deleted by {} {reactions}", deleted.sender),
            None => {
                let edited = if entry.is_edited() { " (edited)" } else { "" };
                let kind = entry.message().map(|message| message.kind);
                format!("{sequence} {kind:?} {}{edited} {reactions}", entry.text().unwrap_or("?"))
            }
        }
    };
    timeline.iter().map(line).collect()
}

/// A log as a server accepts it: references point back, at what they may be about.
fn log(random: &mut Random, length: u64) -> Vec<Message> {
    let mut log: Vec<Message> = Vec::new();
    for sequence in 1..=length {
        let sender = below(random, 4);
        let text = format!("{}", below(random, 1_000));
        let target = log
            .get(below(random, sequence) as usize)
            .filter(|target| matches!(target.kind, Kind::Text | Kind::Application))
            .map(|target| (target.sequence, target.kind));
        let draft = match (below(random, 6), target) {
            (0, Some((target, Kind::Text))) => Draft::edit(target, text),
            (1, Some((target, _))) => Draft::delete(target),
            (2, Some((target, _))) => Draft::reaction(target, "👍"),
            (3, Some((target, _))) => Draft::reaction(target, ""),
            (4, _) => Draft::application(text.into_bytes()),
            _ => Draft::text(text),
        };
        log.push(message(sequence, sender, draft));
    }
    log
}

/// The page of what is current, as W-54 says: no frames of deleted messages, and all that counts about the rest.
fn current(log: &[Message], from: u64, to: u64) -> History {
    let about = |sequence: u64| log.iter().filter(move |part| part.amends() == Some(sequence));
    let is_deleted = |sequence: u64| about(sequence).any(|part| part.kind == Kind::Delete);
    let mut amendments: Vec<Message> = Vec::new();
    for sequence in from..=to {
        if let Some(deleted) = about(sequence).find(|part| part.kind == Kind::Delete) {
            amendments.push(deleted.clone());
            continue;
        }
        amendments.extend(about(sequence).rfind(|part| part.kind == Kind::Edit).cloned());
        let mut reactions: BTreeMap<UserId, &Message> = BTreeMap::new();
        for part in about(sequence).filter(|part| part.kind == Kind::Reaction) {
            reactions.insert(part.sender, part);
        }
        amendments.extend(reactions.into_values().filter(|part| !part.body.is_empty()).cloned());
    }
    amendments.sort_by_key(|part| part.sequence);
    let inside = log.iter().filter(|part| (from..=to).contains(&part.sequence));
    let messages = inside.filter(|part| !part.kind.refers() && !is_deleted(part.sequence)).cloned().collect();
    let head = log.len() as u64;
    History { messages, amendments, from, to, head, complete: to == head }
}

#[test]
fn folding_the_log_and_folding_the_pages_of_what_is_current_give_the_same() {
    let (mut deletes, mut reactions) = (0, 0);
    for seed in 0..500 {
        let random = &mut Random::new(seed);
        let length = 1 + below(random, 60);
        let log = log(random, length);
        let mut folded = Timeline::new();
        for message in &log {
            folded.apply(message);
        }
        // Pages of any size, from the newest to the oldest, some of them read before the newest entries were there.
        let mut paged = Timeline::new();
        let mut to = length;
        while to > 0 {
            let from = to.saturating_sub(below(random, 8)).max(1);
            let known = (to + below(random, length - to + 1)) as usize;
            paged.apply_history(&current(&log[..known], from, to));
            // What came since is live.
            for message in &log[known..] {
                paged.apply(message);
            }
            to = from - 1;
        }
        assert_eq!(shown(&paged), shown(&folded), "seed {seed}");
        deletes += folded.iter().filter(|(_, entry)| entry.deleted().is_some()).count();
        reactions += folded.iter().map(|(_, entry)| entry.reactions().count()).sum::<usize>();
    }
    assert!(deletes > 500 && reactions > 500, "{deletes} deletes, {reactions} reactions: nothing was tried");
}

#[test]
fn the_order_of_arrival_does_not_matter_and_neither_do_doubles() {
    for seed in 0..500 {
        let random = &mut Random::new(seed);
        let log = log(random, 40);
        let mut folded = Timeline::new();
        for message in &log {
            folded.apply(message);
        }
        let mut shuffled = Timeline::new();
        let mut rest: Vec<&Message> = log.iter().chain(&log[..10]).collect();
        while !rest.is_empty() {
            let at = below(random, rest.len() as u64) as usize;
            shuffled.apply(rest.swap_remove(at));
        }
        assert_eq!(shown(&shuffled), shown(&folded), "seed {seed}");
    }
}

#[test]
fn what_is_to_be_drawn_again_is_said() {
    let mut timeline = Timeline::new();
    assert_eq!(timeline.apply(&message(2, 1, Draft::edit(1, "b"))), None, "nobody sees it yet");
    assert!(timeline.is_empty());
    assert_eq!(timeline.apply(&message(1, 1, Draft::text("a"))), Some(1));
    assert_eq!(timeline.get(1).and_then(Entry::text), Some("b"));
    assert_eq!(timeline.apply(&message(1, 1, Draft::text("a"))), None, "a double");
    assert_eq!(timeline.apply(&message(5, 1, Draft::edit(1, "c"))), Some(1));
    assert_eq!(timeline.apply(&message(4, 1, Draft::edit(1, "older"))), None);
    assert_eq!(timeline.apply(&message(6, 1, Draft::delete(1))), Some(1));
    assert_eq!(timeline.apply(&message(7, 1, Draft::reaction(1, "👍"))), None, "nothing counts any more");
    assert_eq!(timeline.len(), 1);
}

#[test]
fn what_is_forgotten_stays_forgotten() {
    let mut timeline = Timeline::new();
    for sequence in 1..=10 {
        timeline.apply(&message(sequence, 1, Draft::text("a")));
    }
    timeline.forget_before(8);
    assert_eq!(timeline.iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(), [8, 9, 10]);
    assert_eq!(timeline.apply(&message(11, 1, Draft::edit(7, "b"))), None);
    timeline.forget_before(2);
    assert_eq!(timeline.apply(&message(5, 1, Draft::text("again"))), None);
    assert_eq!(timeline.len(), 3);
}

#[test]
fn an_edit_stands_in_for_a_message_that_is_too_large_beside_it() {
    let mut timeline = Timeline::new();
    let edit = message(9, 1, Draft::edit(4, "long"));
    assert_eq!(timeline.apply(&edit), None, "live, it says nothing about what was not loaded");
    let page =
        History { messages: Vec::new(), amendments: vec![edit], from: 4, to: 4, head: 9, complete: false };
    timeline.apply_history(&page);
    assert_eq!(timeline.get(4).map(|entry| (entry.text(), entry.message())), Some((Some("long"), None)));
    timeline.apply(&message(10, 1, Draft::delete(4)));
    assert_eq!(timeline.get(4).map(Entry::text), Some(None));
}
