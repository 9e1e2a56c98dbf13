//! What gateways say of themselves in their metrics.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use wasmfn_crds::names::GATEWAY_ADMIN_PORT;

use super::Context;
use crate::settings::SYSTEM_NAMESPACE;
use crate::wait::wait_until;

/// How long requests may take to arrive.
const ARRIVAL: std::time::Duration = std::time::Duration::from_secs(30);

impl Context {
    /// Waits until just so many requests for a function wait at the gateways, all of them together.
    ///
    /// # Errors
    /// They do not within half a minute.
    pub async fn waiting_becomes(&self, function: &str, count: u64) -> Result<()> {
        let what = format!("{count} requests wait for {function}");
        wait_until(&what, ARRIVAL, async || {
            let waiting = self.gauge("wasmfn_gateway_queued", function).await?;
            if waiting == count {
                return Ok(Some(()));
            }
            anyhow::bail!("{waiting} do")
        })
        .await
    }

    /// A function's value of a gauge, all gateways together.
    async fn gauge(&self, gauge: &str, function: &str) -> Result<u64> {
        let mut sum = 0;
        for gateway in self.gateway_pods().await? {
            let text = self.gateway_metrics(&gateway).await?;
            sum += value(&text, gauge, &self.namespace, function);
        }
        Ok(sum)
    }

    /// All metrics of a gateway, by way of the API server.
    async fn gateway_metrics(&self, gateway: &Pod) -> Result<String> {
        let path = format!(
            "/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{}:{GATEWAY_ADMIN_PORT}/proxy/metrics",
            gateway.name_any()
        );
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }
}

/// Of a gauge that was never set: 0.
fn value(text: &str, gauge: &str, namespace: &str, function: &str) -> u64 {
    let labels = [
        format!("namespace=\"{namespace}\""),
        format!("function=\"{function}\""),
    ];
    let line = text.lines().find(|line| {
        let name = line.split_once('{').map(|(name, _)| name);
        name == Some(gauge) && labels.iter().all(|label| line.contains(label))
    });
    let number = line.and_then(|line| line.rsplit_once(' '));
    number
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_of_one_function_is_read() {
        let text = "# TYPE queued gauge\n\
                    queued{namespace=\"a\",function=\"f\"} 3\n\
                    queued{namespace=\"b\",function=\"f\"} 5\n\
                    queued_more{namespace=\"b\",function=\"g\"} 7\n";
        assert_eq!(value(text, "queued", "b", "f"), 5);
        assert_eq!(value(text, "queued", "b", "g"), 0);
    }
}
