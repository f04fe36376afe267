//! Which connections of this shard receive which conversation.
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
    /// Where in the topic's list.
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
    subscribers: Vec<Subscriber>,
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
        let list = &mut self.topics[topic.0 as usize].subscribers;
        subscriptions.push(Subscription { topic, position: list.len() as u32 });
        list.push(Subscriber { slot, position: subscriptions.len() as u32 - 1 });
        topic
    }

    /// Takes the `nth` subscription out of a connection's list.
    ///
    /// Both lists fill the hole with their last entry: the connection's own is put right here, the other
    /// connection's by the caller.
    pub fn remove(&mut self, subscriptions: &mut Vec<Subscription>, nth: usize) -> Option<Moved> {
        let gone = subscriptions.swap_remove(nth);
        if let Some(moved) = subscriptions.get(nth) {
            self.topics[moved.topic.0 as usize].subscribers[moved.position as usize].position = nth as u32;
        }
        let topic = &mut self.topics[gone.topic.0 as usize];
        topic.subscribers.swap_remove(gone.position as usize);
        let moved = topic.subscribers.get(gone.position as usize).map(|subscriber| Moved {
            slot: subscriber.slot,
            subscription: subscriber.position,
            position: gone.position,
        });
        if topic.subscribers.is_empty() {
            if let Some(conversation) = topic.conversation.take() {
                self.by_conversation.remove(&conversation);
            }
            // The list's memory goes with the crowd that needed it.
            topic.subscribers = Vec::new();
            self.free.push(gone.topic);
        }
        moved
    }

    /// Slots of everybody who receives the topic.
    pub fn slots(&self, topic: TopicIndex) -> impl Iterator<Item = u32> + '_ {
        self.topics[topic.0 as usize].subscribers.iter().map(|subscriber| subscriber.slot)
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
                        subscribers.add(conversation, slot, &mut connections[slot as usize]);
                        model.entry(conversation).or_default().insert(slot);
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
                }
            }
        }
    }
}
