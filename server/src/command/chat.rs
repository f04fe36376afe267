//! stub
use clap::Args;
/// stub
#[derive(Debug, Args)]
pub struct ChatArgs {}
/// stub
pub fn run(_args: ChatArgs) -> Result<std::process::ExitCode, String> {
    Ok(std::process::ExitCode::SUCCESS)
}
