//! The client that stories run inside the cluster: this program, in a pod. Prints one line of JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

use crate::http::{LoadPlan, Origin, Schedule, run_load};

/// What the client does.
#[derive(Args)]
pub struct ClientCommand {
    #[command(subcommand)]
    action: ClientAction,
}

#[derive(Subcommand)]
enum ClientAction {
    /// Send one request and print what came back
    Request {
        /// Whole URL
        url: String,
        /// `GET` or another
        #[arg(long, default_value = "GET")]
        method: Method,
        /// `NAME: VALUE`, as often as needed
        #[arg(long = "header", value_parser = parse_header)]
        headers: Vec<(String, String)>,
        /// Body
        #[arg(long, default_value = "")]
        body: String,
    },
    /// Answer 200 to everything, as a plain native server does
    Serve {
        /// Port of all addresses
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Send open-loop load by oha, given as a schedule in JSON, and print what came back
    OpenLoop {
        #[arg(value_parser = parse_schedule)]
        schedule: Schedule,
    },
    /// Carry out a load plan, given as JSON, and print its report
    Load {
        #[arg(value_parser = parse_plan)]
        plan: LoadPlan,
    },
}

/// What came back for one request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Status; 0 where there was no answer.
    pub status: u16,
    /// Headers, their names in lower case; of several with one name the last.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
    /// Headers after the body.
    pub trailers: BTreeMap<String, String>,
    /// Why there was no answer; empty where there was one.
    pub error: String,
}

impl ClientCommand {
    /// Does it.
    ///
    /// # Errors
    /// The command line makes no sense. An answer that does not come is no error: it is printed.
    pub async fn run(self) -> Result<()> {
        let line = match self.action {
            ClientAction::Request {
                url,
                method,
                headers,
                body,
            } => serde_json::to_string(&request(&url, method, headers, body).await?)?,
            ClientAction::Serve { port } => return serve(port).await,
            ClientAction::OpenLoop { schedule } => serde_json::to_string(&schedule.run().await?)?,
            ClientAction::Load { plan } => serde_json::to_string(&run_load(plan).await?)?,
        };
        println!("{line}");
        Ok(())
    }
}

async fn serve(port: u16) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
    let server = axum::Router::new().fallback(async || "plain\n");
    Ok(axum::serve(listener, server).await?)
}

async fn request(
    url: &str,
    method: Method,
    headers: Vec<(String, String)>,
    body: String,
) -> Result<Seen> {
    let uri: Uri = url.parse()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Origin::new(&format!("http://{authority}"))?.request(method, "", path);
    for (name, value) in headers {
        request = request.header(&name, value);
    }
    if !body.is_empty() {
        request = request.body(body);
    }
    Ok(match request.send().await {
        Ok(answer) => Seen {
            status: answer.status.as_u16(),
            headers: texts(&answer.headers),
            body: answer.text(),
            trailers: texts(&answer.trailers),
            error: String::new(),
        },
        Err(error) => Seen {
            error: format!("{error:#}"),
            ..Seen::default()
        },
    })
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .collect()
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':');
    let (name, value) = parts.ok_or_else(|| format!("`{text}` must be `NAME: VALUE`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parse_plan(text: &str) -> Result<LoadPlan, serde_json::Error> {
    serde_json::from_str(text)
}

fn parse_schedule(text: &str) -> Result<Schedule, serde_json::Error> {
    serde_json::from_str(text)
}
