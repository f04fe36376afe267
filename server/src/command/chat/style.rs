//! Colours, where they are wanted.

use ringwire_client::UserId;

/// Colours of names that can be read on dark and on light ground, of the 256-colour table.
const NAMES: [u8; 12] = [33, 37, 64, 71, 97, 125, 130, 133, 136, 166, 167, 172];

/// Whether and how to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    colours: bool,
}

impl Style {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// For what accompanies.
    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// For what went well.
    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For what may go well yet.
    pub(super) fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// For what did not go well.
    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// A user's name, in the colour that this user has everywhere: ids are hashes already.
    pub(super) fn name(self, user: UserId, name: &str) -> String {
        let colour = NAMES[usize::from(user.as_bytes()[0]) % NAMES.len()];
        self.wrap(&format!("1;38;5;{colour}"), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_nothing_is_added() {
        let style = Style::new(false);
        assert_eq!(style.bad("x") + &style.dim("y") + &style.name(UserId::from_name("ada"), "ada"), "xyada");
    }

    #[test]
    fn a_name_has_the_same_colour_every_time_and_names_have_many() {
        let style = Style::new(true);
        let coloured = |name: &str| style.name(UserId::from_name(name), "x");
        assert_eq!(coloured("ada"), coloured("ada"));
        let mut seen: Vec<String> = (0..100).map(|n| coloured(&format!("user {n}"))).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), NAMES.len());
    }
}
