//! Which pod gets a request: the better of two random ones, by the requests that this gateway has
//! in them.

/// Chooses one of `pods` pods, each with so many requests in flight. `random` gives a number below
/// its argument. Nothing where there is no pod.
///
/// Two random choices keep loads close together without every gateway running to the same pod, as
/// a global minimum would have them do.
pub fn choose(
    pods: usize,
    in_flight: impl Fn(usize) -> u32,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    if pods < 2 {
        return pods.checked_sub(1);
    }
    let first = random(pods);
    // One of the others, each as likely.
    let second = (first + 1 + random(pods - 1)) % pods;
    Some(if in_flight(second) < in_flight(first) {
        second
    } else {
        first
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_to_choose() {
        assert_eq!(choose(0, |_| 0, |_| unreachable!()), None);
        assert_eq!(choose(1, |_| 7, |_| unreachable!()), Some(0));
    }

    #[test]
    fn load_stays_even() {
        let mut loads = vec![0_u32; 10];
        for _ in 0..10_000 {
            let chosen =
                choose(10, |pod| loads[pod], |below| rand::random_range(0..below)).unwrap();
            loads[chosen] += 1;
        }
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        assert!(most - least < 20, "{loads:?}");
    }

    proptest! {
        #[test]
        fn never_the_busiest_of_different_ones(
            loads in prop::collection::hash_set(0_u32..1000, 2..20),
            seeds in (any::<usize>(), any::<usize>()),
        ) {
            let loads: Vec<u32> = loads.into_iter().collect();
            let mut numbers = [seeds.0, seeds.1].into_iter();
            let chosen = choose(
                loads.len(),
                |pod| loads[pod],
                |below| numbers.next().unwrap() % below,
            )
            .unwrap();
            prop_assert!(loads[chosen] < *loads.iter().max().unwrap());
        }
    }
}
