//! What is to be pushed, what could not be, and who has been woken: the fold of the queue's file.
//!
//! The running plane and the next start both build it with [`Queue::apply`], so they cannot disagree.
//!
//! Invariants. P-1: from a user's wake-up in a conversation until his return there is no second one for it, also
//! across a restart. P-2: a job leaves the queue when it was delivered, when it is dead, or when its user is
//! back; never otherwise.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ringwire_protocol::id::{ConversationId, UserId};
use serde::{Deserialize, Serialize};

use super::job::{Job, JobId};
use crate::limits::DEAD_LETTERS_MAX;

/// One entry of the queue's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// A wake-up was taken; one entry for all its jobs, so that it is taken whole or not at all.
    Woken {
        /// Who.
        #[serde(with = "super::text::id")]
        user: UserId,
        /// Where.
        #[serde(with = "super::text::id")]
        conversation: ConversationId,
        /// For which message.
        sequence: u64,
        /// One for each device.
        jobs: Vec<Job>,
    },
    /// A job that waits, in a file that was rewritten.
    Waiting(Job),
    /// The user has been back: nothing is to be pushed any more, and the next message wakes him again.
    Back {
        /// Who.
        #[serde(with = "super::text::id")]
        user: UserId,
    },
    /// A job is over: delivered, or its device is gone.
    Done {
        /// Which.
        job: JobId,
    },
    /// A job was given up.
    Dead(DeadLetter),
    /// A dead letter is a job again.
    Replayed {
        /// Which.
        job: JobId,
    },
    /// A dead letter was thrown away.
    Forgotten {
        /// Which.
        job: JobId,
    },
}

/// A job that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job.
    pub job: Job,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last answer was.
    pub why: String,
    /// When it was given up, milliseconds since 1970.
    pub died_ms: u64,
}

/// What waits for one user's return.
#[derive(Debug, Default, PartialEq)]
struct Awaited {
    /// For which conversations he was woken, and for which message.
    woken: HashMap<ConversationId, u64, RandomState>,
    jobs: Vec<JobId>,
}

/// Everything that is known about pushes.
#[derive(Debug, Default, PartialEq)]
pub struct Queue {
    jobs: BTreeMap<JobId, Job>,
    dead: BTreeMap<JobId, DeadLetter>,
    awaited: HashMap<UserId, Awaited, RandomState>,
    woken: usize,
    next: JobId,
}

impl Queue {
    /// Applies an entry. One about a job that is not there any more changes nothing.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Woken { user, conversation, sequence, jobs } => {
                let woken = &mut self.awaited.entry(user).or_default().woken;
                self.woken += usize::from(woken.insert(conversation, sequence).is_none());
                jobs.into_iter().for_each(|job| self.add(job));
            }
            Entry::Waiting(job) => self.add(job),
            Entry::Back { user } => {
                let Some(awaited) = self.awaited.remove(&user) else { return };
                self.woken -= awaited.woken.len();
                for job in awaited.jobs {
                    self.jobs.remove(&job);
                }
            }
            Entry::Done { job } => {
                self.remove(job);
            }
            Entry::Dead(letter) => {
                self.remove(letter.job.id);
                self.next = self.next.max(letter.job.id + 1);
                self.dead.insert(letter.job.id, letter);
                while self.dead.len() > DEAD_LETTERS_MAX {
                    self.dead.pop_first();
                }
            }
            Entry::Replayed { job } => {
                if let Some(letter) = self.dead.remove(&job) {
                    self.add(letter.job);
                }
            }
            Entry::Forgotten { job } => {
                self.dead.remove(&job);
            }
        }
    }

    fn add(&mut self, job: Job) {
        self.next = self.next.max(job.id + 1);
        self.awaited.entry(job.user).or_default().jobs.push(job.id);
        self.jobs.insert(job.id, job);
    }

    fn remove(&mut self, id: JobId) {
        let Some(job) = self.jobs.remove(&id) else { return };
        if let Some(awaited) = self.awaited.get_mut(&job.user) {
            awaited.jobs.retain(|other| *other != id);
            if awaited.jobs.is_empty() && awaited.woken.is_empty() {
                self.awaited.remove(&job.user);
            }
        }
    }

    /// Entries that make this queue out of an empty one.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let dead = self.dead.values().map(|letter| Entry::Dead(letter.clone()));
        let woken = self.awaited.iter().flat_map(|(user, awaited)| {
            awaited.woken.iter().map(|(conversation, sequence)| Entry::Woken {
                user: *user,
                conversation: *conversation,
                sequence: *sequence,
                jobs: Vec::new(),
            })
        });
        let jobs = self.jobs.values().map(|job| Entry::Waiting(job.clone()));
        dead.chain(woken).chain(jobs)
    }

    /// Whether a user was woken for a conversation and has not been back.
    pub fn is_woken(&self, user: UserId, conversation: ConversationId) -> bool {
        self.awaited.get(&user).is_some_and(|awaited| awaited.woken.contains_key(&conversation))
    }

    /// Whether a user's return changes anything.
    pub fn is_awaited(&self, user: UserId) -> bool {
        self.awaited.contains_key(&user)
    }

    /// A number for a new job.
    pub fn next_job(&mut self) -> JobId {
        self.next += 1;
        self.next - 1
    }

    /// A job that waits.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// All jobs, the oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Dead letters with greater numbers than `after`, the oldest first.
    pub fn dead_after(&self, after: Option<JobId>) -> impl Iterator<Item = &DeadLetter> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        self.dead.range(from..).map(|(_, letter)| letter)
    }

    /// A dead letter.
    pub fn dead_letter(&self, id: JobId) -> Option<&DeadLetter> {
        self.dead.get(&id)
    }

    /// How many jobs wait.
    pub fn jobs_count(&self) -> usize {
        self.jobs.len()
    }

    /// How many dead letters there are.
    pub fn dead_count(&self) -> usize {
        self.dead.len()
    }

    /// How many entries [`Self::entries`] has: less of them than the file holds is garbage.
    pub fn entries_count(&self) -> usize {
        self.jobs.len() + self.dead.len() + self.woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::push::job::WakeId;
    use crate::plane::push::target::Target;
    use ringwire_protocol::message::Provider;

    fn user(name: &str) -> UserId {
        UserId::from_name(name)
    }

    fn job(id: JobId, name: &str) -> Job {
        let conversation = ConversationId::from_name("room");
        Job {
            id,
            wake: WakeId::new(user(name), conversation, 1),
            user: user(name),
            conversation,
            sequence: 1,
            device: id,
            target: Target {
                provider: Provider::Fcm,
                token: "t".into(),
                app: "".into(),
                key: Box::default(),
                secret: Box::default(),
            },
        }
    }

    fn woken(name: &str, ids: &[JobId]) -> Entry {
        Entry::Woken {
            user: user(name),
            conversation: ConversationId::from_name("room"),
            sequence: 1,
            jobs: ids.iter().map(|id| job(*id, name)).collect(),
        }
    }

    fn dead(id: JobId, name: &str) -> Entry {
        Entry::Dead(DeadLetter { job: job(id, name), attempts: 3, why: "500".into(), died_ms: 1 })
    }

    fn queue(entries: impl IntoIterator<Item = Entry>) -> Queue {
        let mut queue = Queue::default();
        entries.into_iter().for_each(|entry| queue.apply(entry));
        queue
    }

    #[test]
    fn a_return_ends_what_was_to_be_pushed_and_lets_be_woken_again() {
        let room = ConversationId::from_name("room");
        let mut queue = queue([woken("bob", &[0, 1]), woken("eve", &[2])]);
        queue.apply(Entry::Done { job: 0 });
        assert!(queue.is_woken(user("bob"), room), "delivered is not yet back");
        queue.apply(Entry::Back { user: user("bob") });
        assert!(!queue.is_woken(user("bob"), room) && queue.is_woken(user("eve"), room));
        assert_eq!(queue.jobs().map(|job| job.id).collect::<Vec<_>>(), [2]);
        assert_eq!(queue.entries_count(), 2);
    }

    #[test]
    fn dead_letters_are_replayed_once() {
        let mut queue = queue([woken("bob", &[0]), dead(0, "bob")]);
        assert_eq!((queue.jobs_count(), queue.dead_count()), (0, 1));
        queue.apply(Entry::Replayed { job: 0 });
        queue.apply(Entry::Replayed { job: 0 });
        assert_eq!((queue.jobs_count(), queue.dead_count()), (1, 0));
        queue.apply(dead(0, "bob"));
        queue.apply(Entry::Forgotten { job: 0 });
        assert_eq!((queue.jobs_count(), queue.dead_count()), (0, 0));
        assert_eq!(queue.next_job(), 1);
    }

    #[test]
    fn its_entries_make_the_same_queue_again() {
        let original = queue([
            woken("bob", &[0, 1, 2]),
            woken("eve", &[3]),
            Entry::Done { job: 1 },
            dead(2, "bob"),
            dead(3, "eve"),
            Entry::Back { user: user("eve") },
            Entry::Replayed { job: 3 },
        ]);
        let entries: Vec<Entry> = original.entries().collect();
        assert_eq!(entries.len(), original.entries_count());
        let text = serde_json::to_string(&entries).expect("serializable");
        let read: Vec<Entry> = serde_json::from_str(&text).expect("readable");
        assert_eq!(queue(read), original);
    }

    #[test]
    fn dead_letters_are_bounded_and_the_oldest_goes() {
        let queue = queue((0..DEAD_LETTERS_MAX as u64 + 5).map(|id| dead(id, "bob")));
        assert_eq!(queue.dead_count(), DEAD_LETTERS_MAX);
        assert_eq!(queue.dead_after(None).next().map(|letter| letter.job.id), Some(5));
        assert_eq!(queue.dead_after(Some(6)).next().map(|letter| letter.job.id), Some(7));
    }
}
