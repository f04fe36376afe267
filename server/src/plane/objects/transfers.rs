//! How many uploads and downloads there are at a time, in all and by user.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, header};
use ringwire_protocol::id::UserId;

use crate::limits::{MEDIA_TRANSFERS_MAX, MEDIA_TRANSFERS_PER_USER};
use crate::plane::http::reply::Problem;

/// Counts them; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Transfers {
    counts: Rc<RefCell<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_user: HashMap<UserId, usize>,
}

/// One transfer; it has its place until it is dropped.
pub(super) struct Place {
    transfers: Transfers,
    user: UserId,
}

impl Transfers {
    /// Gives a transfer its place.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn begin(&self, user: UserId) -> Result<Place, Problem> {
        let mut counts = self.counts.borrow_mut();
        let own = counts.by_user.get(&user).copied().unwrap_or(0);
        if own >= MEDIA_TRANSFERS_PER_USER {
            let what = format!("you have {own} uploads and downloads under way; let one of them end first");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_transfers", what)
                .with(header::RETRY_AFTER, HeaderValue::from_static("5")));
        }
        if counts.all >= MEDIA_TRANSFERS_MAX {
            let what = "too many uploads and downloads are under way; try again in a moment";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", what)
                .with(header::RETRY_AFTER, HeaderValue::from_static("5")));
        }
        counts.all += 1;
        *counts.by_user.entry(user).or_default() += 1;
        Ok(Place { transfers: self.clone(), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.transfers.counts.borrow_mut();
        counts.all -= 1;
        if let Some(own) = counts.by_user.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                counts.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let transfers = Transfers::default();
        let user = |n: usize| UserId::from_name(&format!("user-{n}"));
        let mut places: Vec<Place> =
            (0..MEDIA_TRANSFERS_PER_USER).map(|_| transfers.begin(user(0)).expect("a place")).collect();
        let code = |result: Result<Place, Problem>| result.err().map(|problem| problem.code());
        assert_eq!(code(transfers.begin(user(0))), Some("too_many_transfers"));
        for n in places.len()..MEDIA_TRANSFERS_MAX {
            places.push(transfers.begin(user(n)).expect("a place"));
        }
        assert_eq!(code(transfers.begin(user(1))), Some("overloaded"));
        places.pop();
        assert!(transfers.begin(user(1)).is_ok());
        places.clear();
        assert!(transfers.counts.borrow().by_user.is_empty());
    }
}
