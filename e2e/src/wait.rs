//! Waiting for something to become true, with a deadline and a sentence for when it does not.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How often conditions are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks at `condition` until it gives a value, and gives that. `Ok(None)` means not yet; an error
/// means not yet as well, and is told if nothing better comes before `deadline` has passed.
///
/// # Errors
/// `deadline` passed; with the last error, if the last look ended in one.
pub async fn wait_until<T, F>(
    description: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let end = Instant::now() + deadline;
    loop {
        let looked = tokio::time::timeout_at(end, condition()).await;
        let last = match looked {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if Instant::now() + INTERVAL >= end {
            let seconds = deadline.as_secs_f64();
            match last {
                Some(error) => {
                    return Err(
                        error.context(format!("waited {seconds} s in vain until {description}"))
                    );
                }
                None => bail!("waited {seconds} s in vain until {description}"),
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn gives_the_value_once_it_is_there() {
        let looks = Cell::new(0);
        let value = wait_until("it counts to three", Duration::from_secs(60), async || {
            looks.set(looks.get() + 1);
            Ok((looks.get() == 3).then_some(looks.get()))
        });
        assert_eq!(value.await.expect("it counts"), 3);
    }

    #[tokio::test]
    async fn says_what_it_waited_for_and_the_last_error() {
        let never = async || -> Result<Option<()>> { bail!("connection refused") };
        let error = wait_until("it answers", Duration::from_millis(150), never).await;
        let text = format!("{:#}", error.expect_err("it never does"));
        assert!(text.contains("it answers"), "{text}");
        assert!(text.contains("connection refused"), "{text}");
    }
}
