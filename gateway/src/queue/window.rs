/// Most requests that try at the same time.
const LARGEST: usize = 1024;

/// How many of the waiting requests may try at the same time: one, until a pod accepts; then one
/// more with each that is accepted, so that the number doubles with each round; one again after a
/// refusal. A pod that comes up is thus found by one request and not trampled by thousands.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    size: usize,
    trying: usize,
    blocked: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: 1,
            trying: 0,
            blocked: false,
        }
    }
}

impl Window {
    /// How many more may try now.
    #[must_use]
    pub const fn room(&self) -> usize {
        if self.blocked {
            0
        } else {
            self.size.saturating_sub(self.trying)
        }
    }

    /// Requests that try right now.
    #[must_use]
    pub const fn trying(&self) -> usize {
        self.trying
    }

    /// One more tries.
    pub const fn started(&mut self) {
        self.trying += 1;
    }

    /// One that tried was accepted.
    pub fn accepted(&mut self) {
        self.trying = self.trying.saturating_sub(1);
        self.size = (self.size + 1).min(LARGEST);
        self.blocked = false;
    }

    /// One that tried was refused everywhere. Nobody tries until [`unblock`](Self::unblock).
    pub const fn refused(&mut self) {
        self.trying = self.trying.saturating_sub(1);
        self.block();
    }

    /// One that tried has gone; nothing was learnt.
    pub const fn gave_up(&mut self) {
        self.trying = self.trying.saturating_sub(1);
    }

    /// There is no pod that would accept right now.
    pub const fn block(&mut self) {
        self.size = 1;
        self.blocked = true;
    }

    /// Something may have changed: time has passed, a request has ended, a pod has come.
    pub const fn unblock(&mut self) {
        self.blocked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_all(window: &mut Window) -> usize {
        let room = window.room();
        (0..room).for_each(|_| window.started());
        room
    }

    #[test]
    fn it_doubles_while_pods_accept() {
        let mut window = Window::default();
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let started = start_all(&mut window);
            rounds.push(started);
            (0..started).for_each(|_| window.accepted());
        }
        assert_eq!(rounds, [1, 2, 4, 8]);
    }

    #[test]
    fn a_refusal_stops_it_until_something_changes() {
        let mut window = Window::default();
        for _ in 0..10 {
            start_all(&mut window);
            window.accepted();
        }
        start_all(&mut window);
        window.refused();
        assert_eq!(window.room(), 0);
        window.unblock();
        assert_eq!(window.room(), 0, "the others still try");
        while window.trying() > 0 {
            window.gave_up();
        }
        assert_eq!(window.room(), 1);
    }

    #[test]
    fn it_has_a_bound() {
        let mut window = Window::default();
        for _ in 0..5000 {
            window.started();
            window.accepted();
        }
        assert_eq!(window.room(), LARGEST);
    }
}
