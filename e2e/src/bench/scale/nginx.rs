//! nginx from Debian, as a proxy in front of a pod: what the gateway is measured beside.

use std::path::Path;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::PostParams;
use serde_json::json;

use crate::archive::{ImageConfig, ImageFile, config_digest, write_image, write_layer};
use crate::cache::{Cache, Key};
use crate::context::{Context, address, is_ready, pod_spec};
use crate::images::Image;
use crate::node_image::{debian, libraries};
use crate::versions;
use crate::wait::wait_until;

const PROGRAM: &str = "usr/sbin/nginx";
const NAME: &str = "wasmfn-e2e-nginx";
/// Time for its pod to start.
const POD_START: std::time::Duration = std::time::Duration::from_secs(90);

/// What it takes to be a plain proxy: no log, connections to the pod kept, bodies passed on as they come.
const CONFIGURATION: &str = "
daemon off;
worker_processes auto;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  upstream pod { server $POD; keepalive 256; }
  server {
    listen 8080;
    keepalive_requests 1000000;
    location / {
      proxy_pass http://pod;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_request_buffering off;
      proxy_buffering off;
    }
  }
}
";

/// Its image: the program with its libraries.
pub(super) async fn image(cache: &Cache) -> Result<Image> {
    let root = debian::root_with(cache, "nginx-root", "nginx").await?;
    let key = Key::default()
        .part(versions::DEBIAN)
        .part(root.display().to_string())
        .part(include_str!("nginx.rs"))
        .part(include_str!("../../archive.rs"));
    let tag = versions::DEBIAN;
    let reference = format!("localhost/{NAME}:{tag}");
    let entry = cache
        .entry("nginx-image", key, async |directory| {
            write(&root, directory, &reference).await
        })
        .await?;
    let archive = entry.join("image.tar");
    let digest = config_digest(&archive)?;
    Ok(Image {
        name: NAME.to_owned(),
        tag: digest[..12].to_owned(),
        reference,
        archive,
    })
}

async fn write(root: &Path, directory: &Path, reference: &str) -> Result<()> {
    let programs = [PROGRAM.to_owned()].into();
    let mut paths: Vec<String> = libraries(root, &programs).await?.into_iter().collect();
    paths.extend(programs);
    let files: Vec<ImageFile> = paths
        .into_iter()
        .map(|path| ImageFile {
            source: root.join(&path),
            path,
            mode: 0o755,
        })
        .collect();
    let layer = directory.join("layer.tar");
    write_layer(&layer, &["tmp"], &files)?;
    let config = ImageConfig {
        reference,
        entrypoint: &["/usr/sbin/nginx", "-e", "stderr"],
        user: "65532:65532",
        ..ImageConfig::default()
    };
    write_image(&directory.join("image.tar"), &layer, &config)?;
    std::fs::remove_file(layer)?;
    Ok(())
}

/// Starts it on `node` in front of `upstream` (`ADDRESS:PORT`), and gives its address.
pub(super) async fn start(
    context: &Context,
    image: &str,
    upstream: &str,
    node: &str,
) -> Result<String> {
    let configuration = CONFIGURATION.replace("$POD", upstream);
    let map: ConfigMap = serde_json::from_value(json!({
        "metadata": { "name": "nginx" },
        "data": { "nginx.conf": configuration },
    }))?;
    let mut spec = pod_spec(image, &["-c", "/configuration/nginx.conf"]);
    spec["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    spec["terminationGracePeriodSeconds"] = 1.into();
    spec["volumes"] = json!([
        { "name": "configuration", "configMap": { "name": "nginx" } },
        { "name": "temporary", "emptyDir": {} },
    ]);
    let container = &mut spec["containers"][0];
    container["volumeMounts"] = json!([
        { "name": "configuration", "mountPath": "/configuration" },
        { "name": "temporary", "mountPath": "/tmp" },
    ]);
    container["readinessProbe"] = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
    let pod: Pod =
        serde_json::from_value(json!({ "metadata": { "name": "nginx" }, "spec": spec }))?;
    context.api().create(&PostParams::default(), &map).await?;
    context.api().create(&PostParams::default(), &pod).await?;
    wait_until("nginx is ready", POD_START, async || {
        let pod = context.api::<Pod>().get("nginx").await?;
        Ok(is_ready(&pod).then(|| address(&pod)))
    })
    .await?
}
