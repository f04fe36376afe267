//! Which connections of this shard receive which conversation.
//!
//! A subscriber has the conversation open (on screen) or not; those are two lists, because in a large
//! conversation only the open ones are fed live.
//!
//! Both sides know each other by position, so leaving a crowd of ten thousand costs as little as leaving a
//! pair: the topic's list fills the hole with its last entry, and that entry's connection is told.
//!
//! Owner: the shard. Lifetime: a topic lives while it has subscribers.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ringwire_protocol::id::ConversationId;

/// A conversation that somebody here receives; an index into this shard's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicIndex(u32);

/// One connection's side of a subscription, kept by the connection.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    /// Which topic.
    pub topic: TopicIndex,
    /// Whether the client has it open.
    pub open: bool,
    /// Where in the topic's list of its kind.
    position: u32,
}

/// The topic's side.
#[derive(Clone, Copy, Debug)]
struct Subscriber {
    /// Slot of the connection.
    slot: u32,
    /// Where in the connection's list.
    position: u32,
}

#[derive(Default)]
struct Topic {
    conversation: Option<ConversationId>,
    closed: Vec<Subscriber>,
    open: Vec<Subscriber>,
    heads: Heads,
}

/// What the closed subscribers of a large conversation were told about its head.
#[derive(Clone, Copy, Default, Debug)]
pub struct Heads {
    /// The newest head that they were not told yet; 0: none.
    pub untold: u64,
    /// When they were last told, milliseconds on the monotonic clock.
    pub told_ms: u64,
}

impl Topic {
    fn list(&mut self, open: bool) -> &mut Vec<Subscriber> {
        if open { &mut self.open } else { &mut self.closed }
    }

    fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }
}

/// All topics of a shard.
#[derive(Default)]
pub struct Subscribers {
    by_conversation: HashMap<ConversationId, TopicIndex, RandomState>,
    topics: Vec<Topic>,
    free: Vec<TopicIndex>,
}

/// An entry moved inside a topic's list: the connection in `slot` has to note its new place.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the connection's own list is wrong until it is told"]
pub struct Moved {
    /// Whose.
    pub slot: u32,
    /// Which of its subscriptions.
    pub subscription: u32,
    position: u32,
}

impl Moved {
    /// Notes the new place.
    pub fn apply(&self, subscriptions: &mut [Subscription]) {
        subscriptions[self.subscription as usize].position = self.position;
    }
}

impl Subscribers {
    /// The topic of a conversation, if anybody here receives it.
    pub fn find(&self, conversation: ConversationId) -> Option<TopicIndex> {
        self.by_conversation.get(&conversation).copied()
    }

    /// The conversation of a topic.
    pub fn conversation(&self, topic: TopicIndex) -> ConversationId {
        self.topics[topic.0 as usize].conversation.expect("a topic in use has its conversation")
    }

    /// Adds `slot`, whose own list is `subscriptions`.
    pub fn add(
        &mut self,
        conversation: ConversationId,
        slot: u32,
        open: bool,
        subscriptions: &mut Vec<Subscription>,
    ) -> TopicIndex {
        let topic = *self.by_conversation.entry(conversation).or_insert_with(|| {
            let index = self.free.pop().unwrap_or_else(|| {
                self.topics.push(Topic::default());
                TopicIndex(self.topics.len() as u32 - 1)
            });
            self.topics[index.0 as usize].conversation = Some(conversation);
            index
        });
        let list = self.topics[topic.0 as usize].list(open);
        subscriptions.push(Subscription { topic, open, position: list.len() as u32 });
        list.push(Subscriber { slot, position: subscriptions.len() as u32 - 1 });
        topic
    }

    /// Notes whether a connection has its `nth` subscription open.
    pub fn set_open(
        &mut self,
        subscriptions: &mut [Subscription],
        nth: usize,
        slot: u32,
        open: bool,
    ) -> Option<Moved> {
        let subscription = &mut subscriptions[nth];
        if subscription.open == open {
            return None;
        }
        let moved = self.take(*subscription);
        let list = self.topics[subscription.topic.0 as usize].list(open);
        subscription.open = open;
        subscription.position = list.len() as u32;
        list.push(Subscriber { slot, position: nth as u32 });
        moved
    }

    /// Takes the `nth` subscription out of a connection's list.
    ///
    /// Both lists fill the hole with their last entry: the connection's own is put right here, the other
    /// connection's by the caller.
    pub fn remove(&mut self, subscriptions: &mut Vec<Subscription>, nth: usize) -> Option<Moved> {
        let gone = subscriptions.swap_remove(nth);
        if let Some(moved) = subscriptions.get(nth) {
            let list = self.topics[moved.topic.0 as usize].list(moved.open);
            list[moved.position as usize].position = nth as u32;
        }
        let moved = self.take(gone);
        let topic = &mut self.topics[gone.topic.0 as usize];
        if topic.is_empty() {
            // The lists' memory goes with the crowd that needed it.
            if let Some(conversation) = std::mem::take(topic).conversation {
                self.by_conversation.remove(&conversation);
            }
            self.free.push(gone.topic);
        }
        moved
    }

    /// Takes an entry out of its topic's list; says whose entry fills the hole.
    fn take(&mut self, gone: Subscription) -> Option<Moved> {
        let list = self.topics[gone.topic.0 as usize].list(gone.open);
        list.swap_remove(gone.position as usize);
        list.get(gone.position as usize).map(|subscriber| Moved {
            slot: subscriber.slot,
            subscription: subscriber.position,
            position: gone.position,
        })
    }

    /// Slots of those who have the topic open.
    pub fn open(&self, topic: TopicIndex) -> impl Iterator<Item = u32> + '_ {
        self.topics[topic.0 as usize].open.iter().map(|subscriber| subscriber.slot)
    }

    /// Slots of those who have it but not open.
    pub fn closed(&self, topic: TopicIndex) -> impl Iterator<Item = u32> + '_ {
        self.topics[topic.0 as usize].closed.iter().map(|subscriber| subscriber.slot)
    }

    /// Slots of everybody who receives the topic.
    pub fn slots(&self, topic: TopicIndex) -> impl Iterator<Item = u32> + '_ {
        self.open(topic).chain(self.closed(topic))
    }

    /// Topics whose closed subscribers were not told the newest head.
    pub fn untold(&self) -> Vec<TopicIndex> {
        let untold =
            |(index, topic): (usize, &Topic)| (topic.heads.untold != 0).then_some(TopicIndex(index as u32));
        self.topics.iter().enumerate().filter_map(untold).collect()
    }

    /// What the closed subscribers were told.
    pub fn heads_mut(&mut self, topic: TopicIndex) -> &mut Heads {
        &mut self.topics[topic.0 as usize].heads
    }

    /// How many topics have subscribers.
    pub fn topics(&self) -> usize {
        self.by_conversation.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// A small generator, so that the test needs no dependency and repeats itself.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn both_sides_agree_after_any_history() {
        for seed in 1..50u64 {
            let mut state = seed;
            let mut subscribers = Subscribers::default();
            let mut connections: Vec<Vec<Subscription>> = vec![Vec::new(); 12];
            let mut model: BTreeMap<ConversationId, BTreeSet<u32>> = BTreeMap::new();
            for _ in 0..400 {
                let slot = (next(&mut state) % 12) as u32;
                let conversation = ConversationId::from_name(&format!("c{}", next(&mut state) % 5));
                let held = connections[slot as usize]
                    .iter()
                    .position(|subscription| subscribers.conversation(subscription.topic) == conversation);
                match held {
                    None => {
                        let open = next(&mut state).is_multiple_of(2);
                        subscribers.add(conversation, slot, open, &mut connections[slot as usize]);
                        model.entry(conversation).or_default().insert(slot);
                    }
                    Some(nth) if next(&mut state).is_multiple_of(2) => {
                        let open = !connections[slot as usize][nth].open;
                        let moved = subscribers.set_open(&mut connections[slot as usize], nth, slot, open);
                        if let Some(moved) = moved {
                            moved.apply(&mut connections[moved.slot as usize]);
                        }
                    }
                    Some(nth) => {
                        let moved = subscribers.remove(&mut connections[slot as usize], nth);
                        if let Some(moved) = moved {
                            moved.apply(&mut connections[moved.slot as usize]);
                        }
                        let members = model.get_mut(&conversation).expect("it was held");
                        members.remove(&slot);
                        if members.is_empty() {
                            model.remove(&conversation);
                        }
                    }
                }
                assert_eq!(subscribers.topics(), model.len(), "seed {seed}");
                for (conversation, expected) in &model {
                    let topic = subscribers.find(*conversation).expect("somebody receives it");
                    let actual: BTreeSet<u32> = subscribers.slots(topic).collect();
                    assert_eq!(&actual, expected, "seed {seed}");
                    let open: BTreeSet<u32> = subscribers.open(topic).collect();
                    let flagged = expected.iter().copied().filter(|slot| {
                        connections[*slot as usize].iter().any(|held| held.topic == topic && held.open)
                    });
                    assert_eq!(open, flagged.collect(), "seed {seed}");
                }
            }
        }
    }
}
