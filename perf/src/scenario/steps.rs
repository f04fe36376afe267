//! Steps and variants: one file that is measured several times with one thing changed.

use super::{Kind, Scenario};

impl Scenario {
    /// What is measured one after the other; one `None` where there are no steps.
    #[must_use]
    pub fn steps(&self) -> Vec<Option<f64>> {
        if self.steps.is_empty() { vec![None] } else { self.steps.iter().copied().map(Some).collect() }
    }

    /// The scenario of one step.
    #[must_use]
    pub fn at(&self, step: Option<f64>) -> Scenario {
        let mut at = self.clone();
        match (step, self.kind) {
            (None, _) => {}
            // The contender asks for the batch itself.
            (Some(step), Kind::Append) => at.steps = vec![step],
            (Some(step), Kind::Fanout) => at.per_second = Some(step),
            (Some(step), _) => at.subscribers = step as u32,
        }
        at
    }

    /// What a step is of: names the horizontal axis.
    #[must_use]
    pub fn step_name(&self) -> &'static str {
        match self.kind {
            Kind::Fanout => "publishes per second asked for",
            Kind::Append => "records per batch",
            _ => "connections",
        }
    }

    /// The other half of the comparison with itself.
    #[must_use]
    pub fn versus(&self) -> Option<Scenario> {
        let versus = self.versus.as_ref()?;
        let mut other = self.clone();
        other.shards = versus.shards.unwrap_or(self.shards);
        other.stopped_readers = versus.stopped_readers.unwrap_or(self.stopped_readers);
        Some(other)
    }

    /// The most connections of any step.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.steps().into_iter().map(|step| self.at(step).connections()).max().unwrap_or(0)
    }
}
