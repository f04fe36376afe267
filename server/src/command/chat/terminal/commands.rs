//! What commands do on a terminal: each asks at once, and its answer is shown when it comes.

use std::sync::PoisonError;

use ringwire_client::{
    Conversation, Direction, Error, History, Member, PresenceState, Start, Timeline, UserId,
};

use super::super::command::{Amend, Ask, COMMANDS, Input, Place};
use super::super::deed;
use super::super::render::counted;
use super::{Answer, Chat, ENTRY_MESSAGES};

impl Chat {
    pub(super) fn on_input(&mut self, input: Input) {
        match input {
            Input::Say(text) => self.say(text),
            Input::Amend(amend) => self.amend(amend),
            Input::Ask(ask) => self.ask(ask),
            Input::Send(path) => self.send(path),
            Input::Save(sequence, path) => self.save(sequence, path),
            Input::Go(place) => self.go(place),
            Input::Help => {
                let lines =
                    COMMANDS.map(|(command, what)| self.renderer.note(&format!("{command:<9} {what}")));
                self.show(&lines.concat());
            }
            Input::Members => {
                let room = self.conversation.publisher();
                self.asked = Box::pin(async move { Answer::Members(room.members().await) });
            }
            Input::Inbox => {
                let lines = self.renderer.inbox(&self.client.inbox(), self.conversation.id());
                self.show(&lines);
            }
            Input::History(count) => self.ask_history(count),
            Input::Wrong(usage) => self.show(&self.renderer.note(usage)),
            Input::Unknown(line) => {
                self.show(&self.renderer.note(&format!("{line} is no command; /help lists them")))
            }
            Input::Read(_) | Input::Typing(_) => {
                self.show(&self.renderer.note("that command is for scripts; here both go by themselves"));
            }
            Input::Nothing | Input::Quit => {}
        }
    }

    fn amend(&mut self, amend: Amend) {
        let meant = match &amend {
            Amend::Edit(..) | Amend::Delete(_) => self.own,
            Amend::React(..) => self.timeline.iter().next_back().map(|(sequence, _)| sequence),
        };
        let Some(sequence) = amend.sequence().or(meant) else {
            return self.show(&self.renderer.note("there is no message yet that could be meant"));
        };
        let shown = match &amend {
            Amend::Edit(_, text) => format!("edit {sequence}: {text}"),
            Amend::Delete(_) => format!("delete {sequence}"),
            Amend::React(_, reaction) if reaction.is_empty() => format!("no reaction to {sequence}"),
            Amend::React(_, reaction) => format!("{reaction} to {sequence}"),
        };
        self.publish(shown, amend.draft(sequence));
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Away(away) => self.settings.away = away,
            Ask::Seen(seen) => self.settings.share_last_seen = seen,
            _ => {}
        }
        let (client, room, settings) = (self.client.clone(), self.conversation.publisher(), self.settings);
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0);
        let now_ms = self.session.server_time_ms.saturating_add(elapsed_ms);
        self.asked =
            Box::pin(
                async move { Answer::Done(deed::carry_out(&client, &room, ask, settings, now_ms).await) },
            );
    }

    fn go(&mut self, place: Place) {
        let client = self.client.clone();
        let start = Start::Last(ENTRY_MESSAGES);
        self.asked = match place {
            Place::Direct(name) => {
                let user = self.conversation.user_of(&name).unwrap_or_else(|| UserId::from_name(&name));
                Box::pin(async move { Answer::Entered(client.direct_from(user, &name, start).await) })
            }
            Place::Room(name) => {
                Box::pin(async move { Answer::Entered(client.join_from(&name, start).await) })
            }
            Place::Inbox(number) => {
                let entry = number.checked_sub(1).and_then(|index| client.inbox().into_iter().nth(index));
                let Some(entry) = entry else {
                    return self.show(&self.renderer.note("there is no such room; /inbox lists them"));
                };
                Box::pin(async move { Answer::Entered(client.open_from(entry.conversation, start).await) })
            }
        };
    }

    fn ask_history(&mut self, count: u16) {
        let Some(before) = self.oldest.and_then(|oldest| oldest.checked_sub(1)).filter(|&before| before > 0)
        else {
            return self.show(&self.renderer.note("there is nothing older"));
        };
        let room = self.conversation.publisher();
        self.asked =
            Box::pin(async move { Answer::History(room.current(before, count, Direction::Backward).await) });
    }

    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Members(Ok(members)) => self.show_members(&members),
            Answer::History(Ok(history)) => self.show_history(&history),
            Answer::Entered(Ok(conversation)) => self.enter(conversation),
            Answer::Entered(Err(Error::AlreadyJoined)) => {
                self.show(&self.renderer.note("you are in that room"));
            }
            Answer::Done(Ok(said)) => self.show(&self.renderer.good(&said)),
            Answer::Members(Err(error))
            | Answer::History(Err(error))
            | Answer::Entered(Err(error))
            | Answer::Done(Err(error)) => self.show(&self.renderer.bad(&error.to_string())),
        }
    }

    fn show_members(&mut self, members: &[Member]) {
        let about = |user: UserId| {
            let there = match self.notices.presence(user) {
                _ if user == self.session.user => ", you",
                Some(PresenceState::Online) => ", here",
                Some(PresenceState::Away) => ", away",
                Some(PresenceState::Offline) | None => "",
            };
            let read = self.notices.read(user).map(|sequence| format!(", has read up to {sequence}"));
            format!("{there}{}", read.unwrap_or_default())
        };
        let mut lines = self.renderer.members(members, about);
        if let Some(counts) = self.counts {
            let (online, sequence) = (counts.online, counts.sequence);
            lines.push_str(&self.renderer.note(&format!(
                "{online} are here; {sequence} has come to {} and was read by {}",
                counts.delivered, counts.read
            )));
        }
        self.show(&lines);
    }

    fn show_history(&mut self, history: &History) {
        // What was asked for goes back to `from`, whatever of it is still there.
        self.oldest = (history.from <= history.to).then_some(history.from).or(self.oldest);
        let mut timeline = Timeline::new();
        timeline.apply_history(history);
        let mut lines = self.renderer.note(&counted(timeline.len(), "older message"));
        self.renderer.forget_day();
        lines.push_str(&self.draw_all(&timeline));
        lines.push_str(&self.renderer.note("end of older messages"));
        self.renderer.forget_day();
        self.show(&lines);
    }

    /// Goes to another room; the user stays a member of this one.
    fn enter(&mut self, conversation: Conversation) {
        self.tell_read();
        *self.here.lock().unwrap_or_else(PoisonError::into_inner) = conversation.publisher();
        self.conversation = conversation;
        self.timeline = Timeline::new();
        (self.oldest, self.own, self.counts, self.entered) = (None, None, None, false);
        self.notices.clear();
        self.renderer.forget_day();
        self.greet();
    }
}
