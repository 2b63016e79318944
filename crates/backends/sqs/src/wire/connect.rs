//! The client: who asks, where, and how long an answer may take. It retries nothing by itself and looks nothing up: what is
//! asked again, and for how long, is decided here.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use forebay_core::limits::sqs as limits;
use tokio::time::{self, Instant};

use super::refusal::Refusal;
use crate::settings::{Key, SqsSettings};

/// SQS, as far as it can be asked.
pub(crate) struct Wire {
    pub(super) client: Client,
    pub(super) account: Option<String>,
    wait: Duration,
    timeout: Duration,
}

impl Wire {
    pub(crate) fn new(settings: &SqsSettings) -> Self {
        let Key { id, secret, token } = settings.key.clone();
        let key = Credentials::new(id, secret, token, None, "forebay");
        let mut config = aws_sdk_sqs::Config::builder()
            .region(Region::new(settings.region.clone()))
            .credentials_provider(key)
            .http_client(http(settings))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(settings.timeout).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let client = Client::from_conf(config.build());
        Self { client, account: settings.account.clone(), wait: settings.wait, timeout: settings.timeout }
    }

    /// Asks once; `more` is what the request itself waits.
    pub(super) async fn once<T, E: ProvideErrorMetadata>(
        &self,
        more: Duration,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Refusal> {
        match time::timeout(self.timeout + more, sent).await {
            Ok(answered) => answered.map_err(|error| Refusal::of(&error)),
            Err(_) => Err(Refusal::Away("no answer in time")),
        }
    }

    /// Asks until there is an answer, for as long as a call may wait.
    pub(super) async fn ask<T, E, F>(&self, send: impl Fn() -> F) -> Result<T, Refusal>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        self.patiently(|| self.once(Duration::ZERO, send())).await
    }

    /// The same for what is more than one question.
    pub(super) async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let (until, mut pause) = (Instant::now() + self.wait, limits::PAUSE);
        loop {
            match ask().await {
                Err(refusal) if refusal.may_pass() && Instant::now() + pause < until => {
                    time::sleep(pause).await;
                    pause = (pause * 2).min(limits::PAUSE_MAX);
                }
                answered => return answered,
            }
        }
    }
}

/// Without TLS where the endpoint asks for none; else with one provider, whatever others in the program use.
fn http(settings: &SqsSettings) -> SharedHttpClient {
    match &settings.endpoint {
        Some(endpoint) if endpoint.starts_with("http:") => Builder::new().build_http(),
        _ => Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https(),
    }
}
