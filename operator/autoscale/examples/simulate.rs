//! Replays a load against the scaling decision and draws what comes of it.
//!
//! `simulate LOAD [SETTING=VALUE...] > picture.svg`, where LOAD is `step`, `ramp`, `bursts`, `swing`,
//! `zero` or a file of `seconds,in_flight`. What was decided when goes to the error output.

use std::{env, error::Error, fs, io, process::ExitCode, time::Duration};

use wasmfn_autoscale::simulator::{Load, Point, Settings, replay, svg};

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let name = arguments.next().ok_or(
        "usage: simulate step|ramp|bursts|swing|zero|FILE.csv [min=N] [max=N] [target=N] \
         [window=SECONDS] [idle=SECONDS] [start=MILLISECONDS] [pods=N]",
    )?;
    let mut settings = Settings::default();
    let load = load(&name, &mut settings)?;
    for argument in arguments {
        set(&mut settings, &argument)?;
    }
    let points = replay(&load, &settings);
    for (before, after) in points.iter().zip(points.iter().skip(1)) {
        if before.desired != after.desired {
            tell(before, after);
        }
    }
    io::Write::write_all(&mut io::stdout(), svg(&name, &points).as_bytes())?;
    Ok(())
}

fn tell(before: &Point, after: &Point) {
    eprintln!(
        "{:9.2} s  {:3} -> {:3} pods  {:6} in flight  {}",
        after.at.as_secs_f64(),
        before.desired,
        after.desired,
        after.in_flight,
        after.cause.as_str()
    );
}

/// A made-up load with settings that show what it is about, or a recorded one.
fn load(name: &str, settings: &mut Settings) -> Result<Load, Box<dyn Error>> {
    let seconds = Duration::from_secs;
    settings.pods = u32::from(!matches!(name, "zero" | "ramp"));
    settings.scale_down_window = seconds(20);
    settings.idle = seconds(20);
    let load = match name {
        "step" => Load::new(
            vec![(seconds(0), 90), (seconds(5), 225), (seconds(30), 90)],
            seconds(60),
        ),
        "ramp" => Load::ramp(900, seconds(60)),
        "bursts" => Load::pulses(20, 900, Duration::from_millis(200), seconds(5), seconds(60)),
        "swing" => Load::pulses(50, 450, seconds(1), seconds(2), seconds(60)),
        "zero" => Load::new(vec![(seconds(1), 300), (seconds(10), 0)], seconds(60)),
        file => Load::from_csv(&fs::read_to_string(file)?)?,
    };
    Ok(load)
}

fn set(settings: &mut Settings, argument: &str) -> Result<(), Box<dyn Error>> {
    let (name, value) = argument
        .split_once('=')
        .ok_or_else(|| format!("`{argument}` is not SETTING=VALUE"))?;
    let number: u32 = value
        .parse()
        .map_err(|error| format!("`{argument}`: {error}"))?;
    let seconds = Duration::from_secs(u64::from(number));
    match name {
        "min" => settings.min_replicas = number,
        "max" => settings.max_replicas = number,
        "target" => settings.target_concurrency = number,
        "window" => settings.scale_down_window = seconds,
        "idle" => settings.idle = seconds,
        "start" => settings.pod_start = Duration::from_millis(u64::from(number)),
        "pods" => settings.pods = number,
        _ => return Err(format!("there is no setting `{name}`").into()),
    }
    Ok(())
}
