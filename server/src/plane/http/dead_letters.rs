//! Dead letters of push: `/admin/dead-letters`.
//!
//! | Request | What it does |
//! |---|---|
//! | `GET /admin/dead-letters?after=ID&limit=N` | a page, the oldest first |
//! | `POST /admin/dead-letters/replay`, `POST /admin/dead-letters/ID/replay` | pushes them again |
//! | `DELETE /admin/dead-letters`, `DELETE /admin/dead-letters/ID` | throws them away |

use http::{Method, Response, StatusCode};
use serde::Serialize;

use super::reply::{self, Body, Problem};
use crate::limits::DEAD_LETTERS_PAGE_MAX;
use crate::plane::push::target::name;
use crate::plane::push::{DeadLetter, JobId, Push};

/// A dead letter as operators see it: without the token, which is the device's secret.
#[derive(Serialize)]
struct Shown {
    id: JobId,
    wake: String,
    user: String,
    conversation: String,
    sequence: u64,
    provider: &'static str,
    attempts: u32,
    why: String,
    died_ms: u64,
}

impl From<DeadLetter> for Shown {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { job, attempts, why, died_ms } = letter;
        Shown {
            id: job.id,
            wake: job.wake.to_string(),
            user: job.user.to_string(),
            conversation: job.conversation.to_string(),
            sequence: job.sequence,
            provider: name(job.target.provider),
            attempts,
            why,
            died_ms,
        }
    }
}

#[derive(Serialize)]
struct List {
    dead_letters: Vec<Shown>,
    /// What to ask for next with `after`; none: that was the last page.
    after: Option<JobId>,
    total: usize,
}

#[derive(Serialize)]
struct Changed {
    changed: usize,
}

/// Answers what is below `/admin/dead-letters`.
pub(super) async fn answer(
    push: &Push,
    method: &Method,
    query: Option<&str>,
    rest: &[&str],
) -> Result<Response<Body>, Problem> {
    let number = |text: &str| {
        text.parse::<JobId>().map_err(|_| {
            let what = format!("{text:?} is no dead letter's number");
            Problem::new(StatusCode::BAD_REQUEST, "bad_number", what)
        })
    };
    let changed = match (method, rest) {
        (&Method::GET, []) => return list(push, query),
        (&Method::POST, ["replay"]) => push.replay(None).await,
        (&Method::POST, [id, "replay"]) => found(id, push.replay(Some(number(id)?)).await)?,
        (&Method::DELETE, []) => push.forget(None).await,
        (&Method::DELETE, [id]) => found(id, push.forget(Some(number(id)?)).await)?,
        (_, []) => return Err(Problem::method("GET, DELETE")),
        (_, ["replay"] | [_, "replay"]) => return Err(Problem::method("POST")),
        (_, [_]) => return Err(Problem::method("DELETE")),
        _ => return Err(Problem::not_found(&format!("/admin/dead-letters/{}", rest.join("/")))),
    };
    Ok(reply::json(StatusCode::OK, &Changed { changed }))
}

fn found(id: &str, count: usize) -> Result<usize, Problem> {
    match count {
        0 => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_dead_letter",
            format!("there is no dead letter {id}"),
        )),
        count => Ok(count),
    }
}

fn list(push: &Push, query: Option<&str>) -> Result<Response<Body>, Problem> {
    let (mut after, mut limit) = (None, DEAD_LETTERS_PAGE_MAX);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').and_then(|(name, value)| Some((name, value.parse::<u64>().ok()?))) {
            Some(("after", value)) => after = Some(value),
            Some(("limit", value)) => limit = limit.min(value as usize),
            _ => {
                let what = format!("{pair:?} is neither after=NUMBER nor limit=NUMBER");
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_query", what));
            }
        }
    }
    let page = push.dead_letters(after, limit);
    let last = page.last().map(|letter| letter.job.id);
    let after = last.filter(|last| !push.dead_letters(Some(*last), 1).is_empty());
    let (_, total) = push.levels();
    let dead_letters = page.into_iter().map(Shown::from).collect();
    Ok(reply::json(StatusCode::OK, &List { dead_letters, after, total }))
}
