//! Whether the process that has the turn is alive.

use super::file::Modified;

/// After how many looks that found nothing new a process is taken for stopped.
///
/// Looks are counted rather than time: a process that was stopped itself, together with the other, has looked only once since.
const LOOKS: u32 = 5;

/// What the looks at a file have found.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last: Option<Modified>,
    unchanged: u32,
}

impl Pulse {
    /// Takes a look: whether nobody has modified the file for as many looks as tell.
    pub(super) fn is_gone(&mut self, modified: Modified) -> bool {
        if self.last == Some(modified) {
            self.unchanged += 1;
        } else {
            self.last = Some(modified);
            self.unchanged = 0;
        }
        self.unchanged >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_taken_for_stopped_when_some_looks_in_a_row_find_no_sign_of_life() {
        let mut pulse = Pulse::default();
        for second in 0..10 {
            assert!(!pulse.is_gone((second, 0)));
        }
        for _ in 1..LOOKS {
            assert!(!pulse.is_gone((9, 0)));
        }
        assert!(!pulse.is_gone((9, 1)), "it goes on");
        let gone = (1..=LOOKS).map(|_| pulse.is_gone((9, 1)));
        assert_eq!(gone.collect::<Vec<_>>(), [false, false, false, false, true]);
    }
}
