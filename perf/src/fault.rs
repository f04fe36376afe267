//! Why a measurement gives no figure.

/// A measurement that did not come to its end, or whose figure would be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The person who started it asked for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// The machine does not allow it.
    #[error("{0}")]
    Machine(String),
    /// What is measured failed, died or broke its promise.
    #[error("the server under test: {0}")]
    Server(String),
    /// The generator was the bottleneck.
    #[error(
        "{contender}: the load generator was busy for {busy:.0} % of the window (more than {limit:.0} %): the figure \
         would be its own, not the server's; use --allow-saturated to record it all the same, marked"
    )]
    Saturated {
        /// Whose turn it was.
        contender: String,
        /// Percent of the window.
        busy: f64,
        /// Percent that is let through.
        limit: f64,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl Fault {
    /// For `map_err`: names what was tried.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what: what.into(), source }
    }
}

/// What measuring returns.
pub type Result<T, E = Fault> = std::result::Result<T, E>;
