//! What the store is told, and what it must know.

use std::collections::BTreeMap;

use ringwire_store::{Conversation, Fold, FoldError, Record, StateFold};

/// One record, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    pub kind: u8,
    pub sequence: u64,
    pub time_ms: u64,
    pub payload: Vec<u8>,
}

impl Item {
    pub fn of(record: &Record<'_>) -> Self {
        let (kind, payload) = (record.kind.0, record.payload.to_vec());
        Self { kind, sequence: record.sequence, time_ms: record.time_ms, payload }
    }

    pub fn is_entry(&self) -> bool {
        self.kind < 0x80
    }
}

/// Everything, in order, per conversation. As a fold it keeps all it is given; so a checkpoint and a tail
/// lead to the same table as all records only if nothing is lost, doubled or out of order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Table(pub BTreeMap<Conversation, Vec<Item>>);

impl Table {
    pub fn entries(&self, conversation: &Conversation) -> Vec<Item> {
        let items = self.0.get(conversation).into_iter().flatten();
        items.filter(|item| item.is_entry()).cloned().collect()
    }
}

impl Fold for Table {
    fn restore(&mut self, conversation: &Conversation, state: &[u8]) -> Result<(), FoldError> {
        let items = KeepAll.decode(conversation, state)?;
        match self.0.insert(*conversation, items) {
            None => Ok(()),
            Some(_) => Err(FoldError("restored twice".to_owned())),
        }
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        self.0.entry(record.conversation).or_default().push(Item::of(record));
        Ok(())
    }
}

/// The same for checkpoints.
#[derive(Clone, Copy)]
pub struct KeepAll;

impl StateFold for KeepAll {
    type State = Vec<Item>;

    fn decode(&self, _: &Conversation, mut bytes: &[u8]) -> Result<Vec<Item>, FoldError> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            let cut = || FoldError("a state is cut".to_owned());
            let (head, rest) = bytes.split_at_checked(21).ok_or_else(cut)?;
            let number = |from: usize| u64::from_le_bytes(head[from..from + 8].try_into().unwrap());
            let length = u32::from_le_bytes(head[17..21].try_into().unwrap()) as usize;
            let (payload, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
            items.push(Item {
                kind: head[0],
                sequence: number(1),
                time_ms: number(9),
                payload: payload.to_vec(),
            });
            bytes = rest;
        }
        Ok(items)
    }

    fn apply(&self, state: &mut Option<Vec<Item>>, record: &Record<'_>) -> Result<(), FoldError> {
        state.get_or_insert_default().push(Item::of(record));
        Ok(())
    }

    fn encode(&self, state: &Vec<Item>, out: &mut Vec<u8>) {
        for item in state {
            out.push(item.kind);
            out.extend_from_slice(&item.sequence.to_le_bytes());
            out.extend_from_slice(&item.time_ms.to_le_bytes());
            out.extend_from_slice(&(item.payload.len() as u32).to_le_bytes());
            out.extend_from_slice(&item.payload);
        }
    }
}
