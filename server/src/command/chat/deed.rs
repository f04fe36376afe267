//! Commands that ask something of the server, carried out: the same on a terminal and in a script.

use ringwire_client::{Client, Error, Publisher, Role, Settings, UserId};

use super::command::{Ask, Mute};
use super::render::role as named;

/// Does what was asked; says what is so now.
///
/// # Errors
/// The server's refusal, or a name that nobody here has.
pub(super) async fn carry_out(
    client: &Client,
    room: &Publisher,
    ask: Ask,
    settings: Settings,
    now_ms: u64,
) -> Result<String, Error> {
    match ask {
        Ask::Invite(name, role) => {
            // Who has been here before has the id that was seen; else it is that of the name.
            let user = room.user_of(&name).unwrap_or_else(|| UserId::from_name(&name));
            room.add(user, &name, role).await?;
            Ok(format!("{name} is a member now"))
        }
        Ask::Remove(name) => {
            room.remove(find(room, &name).await?).await?;
            Ok(format!("{name} is no member any more"))
        }
        Ask::Role(name, role) => {
            room.set_role(find(room, &name).await?, role).await?;
            Ok(format!("{name} is {} now", article(role)))
        }
        Ask::Mute(mute) => {
            let (until_ms, said) = match mute {
                Mute::Off => (0, "this room may wake you again".to_owned()),
                Mute::Always => (u64::MAX, "this room does not wake you any more".to_owned()),
                Mute::For(time) => {
                    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    let minutes = time.as_secs() / 60;
                    (now_ms.saturating_add(ms), format!("this room does not wake you for {minutes} minutes"))
                }
            };
            room.mute(until_ms).await?;
            Ok(said)
        }
        Ask::Away(away) => {
            client.set(settings).await?;
            Ok(if away { "others see that you are away" } else { "others see that you are here" }.to_owned())
        }
        Ask::Seen(seen) => {
            client.set(settings).await?;
            let who = if seen { "who watches you sees" } else { "nobody sees" };
            Ok(format!("{who} when you were last here"))
        }
    }
}

/// Who has that name here. Members are asked for only if it was not heard yet.
async fn find(room: &Publisher, name: &str) -> Result<UserId, Error> {
    if let Some(user) = room.user_of(name) {
        return Ok(user);
    }
    let members = room.members().await?;
    let mut fits = members.iter().filter(|member| member.name == name);
    match (fits.next(), fits.next()) {
        (Some(member), None) => Ok(member.user),
        (Some(_), Some(_)) => Err(Error::Invalid(format!("more than one member is called {name}"))),
        (None, _) => {
            Err(Error::Invalid(format!("nobody in this room is called {name}; /members lists who is")))
        }
    }
}

fn article(role: Role) -> String {
    let article = if matches!(role, Role::Admin | Role::Owner) { "an" } else { "a" };
    format!("{article} {}", named(role))
}
