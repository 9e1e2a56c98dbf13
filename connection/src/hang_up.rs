use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

/// Whether the other side has closed the connection, or its side of it, however much of what it sent
/// before is unread. Does not wait.
pub(super) fn has_come(stream: &TcpStream) -> bool {
    let mut asked = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // An error says nothing about the other side.
    poll(&mut asked, Some(&at_once)).is_ok_and(|found| found > 0)
}
