//! Credentials in the AWS SDKs' default order, from the snapshot of the
//! environment: variables, shared config and credentials files, web identity,
//! container, instance metadata (IMDSv2 only).
//!
//! `aws-config` has the same chain, but reads the process environment each
//! time it asks one of these services, which a thread beside PHP must not do.
//! `sso_*` and `credential_process` profiles are refused with a sentence.

use crate::env::AwsEnv;
use crate::http::Http;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use aws_smithy_types::date_time::{DateTime, Format};
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// Renew this long before the end, so that no call starts with keys about to end.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Keys without an end are looked up again this often: a file may have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);
/// Nothing but EC2 answers here; everywhere else this is what the look costs.
const IMDS_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// source_profile of source_profile of …
const MAX_PROFILES: usize = 8;

/// Why there are no credentials, as a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoCredentials(pub String);

type Found = Result<Option<Credentials>, NoCredentials>;

fn no(why: impl Into<String>) -> NoCredentials {
    NoCredentials(why.into())
}

/// The chain, with the last answer kept.
#[derive(Debug)]
pub struct Chain {
    env: AwsEnv,
    region: String,
    http: Http,
    /// Used when nothing is configured: a server of one's own may want no keys.
    otherwise: Option<Credentials>,
    kept: Mutex<Option<(Credentials, SystemTime)>>,
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.credentials()
                .await
                .map_err(CredentialsError::provider_error)
        })
    }
}

impl Chain {
    pub(crate) fn new(
        env: AwsEnv,
        region: String,
        http: Http,
        otherwise: Option<Credentials>,
    ) -> Chain {
        Chain {
            env,
            region,
            http,
            otherwise,
            kept: Mutex::default(),
        }
    }

    /// After a call was refused for its credentials: look again next time.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    /// The keys to sign with now.
    pub async fn credentials(&self) -> Result<Credentials, NoCredentials> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some((credentials, until)) = &*kept
            && now < *until
        {
            return Ok(credentials.clone());
        }
        match self.look().await {
            Ok(credentials) => {
                let until = match credentials.expiry() {
                    Some(end) => end.checked_sub(EARLY).unwrap_or(now),
                    None => now + LOOK_AGAIN,
                };
                *kept = Some((credentials.clone(), until));
                Ok(credentials)
            }
            // The source is away, what we have is still good: go on with it.
            Err(why) => match &*kept {
                Some((old, _)) if old.expiry().is_none_or(|end| now < end) => Ok(old.clone()),
                _ => Err(why),
            },
        }
    }

    async fn look(&self) -> Result<Credentials, NoCredentials> {
        if let Some(found) = self.variables() {
            return Ok(found);
        }
        if let Some(found) = self.profiles().await? {
            return Ok(found);
        }
        if let (Some(file), Some(role)) = (
            self.env.get("AWS_WEB_IDENTITY_TOKEN_FILE"),
            self.env.get("AWS_ROLE_ARN"),
        ) {
            let session = self.env.get("AWS_ROLE_SESSION_NAME");
            return self.web_identity(Path::new(file), role, session).await;
        }
        if let Some(found) = self.container().await? {
            return Ok(found);
        }
        match (self.instance().await, &self.otherwise) {
            (Ok(Some(found)), _) => Ok(found),
            (_, Some(otherwise)) => Ok(otherwise.clone()),
            (looked, None) => {
                let imds = looked.err().map(|e| format!(" ({e})")).unwrap_or_default();
                Err(no(format!(
                    "no AWS credentials in the environment, ~/.aws, web identity, container or instance metadata{imds}; \
                     under php-fpm set them with env[AWS_…] or clear_env = no"
                )))
            }
        }
    }

    fn variables(&self) -> Option<Credentials> {
        let id = self.env.get("AWS_ACCESS_KEY_ID")?;
        let secret = self.env.get("AWS_SECRET_ACCESS_KEY")?;
        let token = self.env.get("AWS_SESSION_TOKEN").map(str::to_owned);
        Some(Credentials::new(id, secret, token, None, "Environment"))
    }

    async fn profiles(&self) -> Found {
        let files = [
            self.env.file("AWS_CONFIG_FILE", "config"),
            self.env.file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ];
        let profiles = Profiles::read(&files);
        let asked = self.env.get("AWS_PROFILE");
        let name = asked.unwrap_or("default");
        if profiles.0.contains_key(name) {
            self.profile(&profiles, name, MAX_PROFILES).await
        } else if asked.is_some() {
            Err(no(format!(
                "AWS_PROFILE names {name}, which is in no config or credentials file"
            )))
        } else {
            Ok(None)
        }
    }

    /// Boxed because a profile may name another as its source.
    fn profile<'a>(
        &'a self,
        profiles: &'a Profiles,
        name: &'a str,
        left: usize,
    ) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(async move {
            let Some(profile) = profiles.0.get(name) else {
                return Err(no(format!("AWS profile {name} does not exist")));
            };
            let get = |key: &str| profile.get(key).map(String::as_str);
            let keys = || {
                let (id, secret) = (get("aws_access_key_id")?, get("aws_secret_access_key")?);
                let token = get("aws_session_token").map(str::to_owned);
                Some(Credentials::new(id, secret, token, None, "Profile"))
            };
            let Some(role) = get("role_arn") else {
                return match keys() {
                    Some(keys) => Ok(Some(keys)),
                    None if get("credential_process").is_some()
                        || get("sso_account_id").is_some() =>
                    {
                        Err(no(format!(
                            "AWS profile {name} uses credential_process or SSO, which a web server's sender does not run; \
                             give it keys, a role or an instance profile"
                        )))
                    }
                    None => Ok(None),
                };
            };
            let session = get("role_session_name");
            if let Some(file) = get("web_identity_token_file") {
                return self
                    .web_identity(Path::new(file), role, session)
                    .await
                    .map(Some);
            }
            let source = match (get("source_profile"), get("credential_source")) {
                (Some(source), _) if source == name => keys(),
                (Some(_), _) if left == 0 => {
                    return Err(no(format!(
                        "AWS profile {name}: source_profile goes in circles"
                    )));
                }
                (Some(source), _) => self.profile(profiles, source, left - 1).await?,
                (None, Some("Environment")) => self.variables(),
                (None, Some("EcsContainer")) => self.container().await?,
                (None, Some("Ec2InstanceMetadata")) => self.instance().await?,
                (None, _) => None,
            };
            let Some(source) = source else {
                return Err(no(format!(
                    "AWS profile {name} has a role_arn, but no source for it has credentials"
                )));
            };
            let mut form = vec![("Action", "AssumeRole"), ("RoleArn", role)];
            form.push(("RoleSessionName", session.unwrap_or("exam-stream")));
            form.extend(get("external_id").map(|id| ("ExternalId", id)));
            self.sts(&form, Some(&source)).await.map(Some)
        })
    }

    async fn web_identity(
        &self,
        file: &Path,
        role: &str,
        session: Option<&str>,
    ) -> Result<Credentials, NoCredentials> {
        let token = std::fs::read_to_string(file)
            .map_err(|e| no(format!("web identity token {}: {e}", file.display())))?;
        self.sts(
            &[
                ("Action", "AssumeRoleWithWebIdentity"),
                ("RoleArn", role),
                ("RoleSessionName", session.unwrap_or("exam-stream")),
                ("WebIdentityToken", token.trim()),
            ],
            None,
        )
        .await
    }

    /// One call of the STS query API.
    async fn sts(
        &self,
        form: &[(&str, &str)],
        signed_by: Option<&Credentials>,
    ) -> Result<Credentials, NoCredentials> {
        let suffix = if self.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        let regional = format!("https://sts.{}.amazonaws.com{suffix}", self.region);
        let url = self.env.get("AWS_ENDPOINT_URL_STS").unwrap_or(&regional);
        let mut body = String::from("Version=2011-06-15");
        for (name, value) in form {
            body.extend(["&", name, "=", &escape(value)]);
        }
        let mut request = Http::request("POST", url, body)?;
        request
            .headers_mut()
            .insert("content-type", "application/x-www-form-urlencoded");
        if let Some(keys) = signed_by {
            crate::http::sign(&mut request, keys, &self.region, "sts")?;
        }
        let (status, xml) = self.http.fetch(request, TIMEOUT).await?;
        let tag = |name: &str| {
            let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
            let to = from + xml[from..].find(&format!("</{name}>"))?;
            Some(&xml[from..to])
        };
        match (
            tag("AccessKeyId"),
            tag("SecretAccessKey"),
            tag("SessionToken"),
        ) {
            (Some(id), Some(secret), Some(token)) if status == 200 => Ok(Credentials::new(
                id,
                secret,
                Some(token.to_owned()),
                tag("Expiration").and_then(instant),
                "Sts",
            )),
            _ => Err(no(format!(
                "STS at {url} answered {status}: {} {}",
                tag("Code").unwrap_or("no code"),
                tag("Message").unwrap_or("")
            ))),
        }
    }

    async fn container(&self) -> Found {
        let url = match (
            self.env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            self.env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => format!("http://169.254.170.2{path}"),
            (None, Some(url)) => url.to_owned(),
            (None, None) => return Ok(None),
        };
        if !may_hold_credentials(&url) {
            return Err(no(format!(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI {url} is neither https, loopback nor a container agent's address"
            )));
        }
        let mut request = Http::request("GET", &url, String::new())?;
        let token = match self.env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .map_err(|e| no(format!("container token {file}: {e}")))?,
            ),
            None => self
                .env
                .get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
                .map(str::to_owned),
        };
        if let Some(token) = token {
            request
                .headers_mut()
                .try_insert("authorization", token.trim().to_owned())
                .map_err(|_| no("the container authorization token is no header value"))?;
        }
        let (status, json) = self.http.fetch(request, TIMEOUT).await?;
        from_json(status, &json, &url, "EcsContainer").map(Some)
    }

    async fn instance(&self) -> Found {
        if self.env.get("AWS_EC2_METADATA_DISABLED") == Some("true") {
            return Ok(None);
        }
        let v6 = self
            .env
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let base = match self.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            Some(url) => url.trim_end_matches('/'),
            None if v6 => "http://[fd00:ec2::254]",
            None => "http://169.254.169.254",
        };
        let mut request = Http::request("PUT", &format!("{base}/latest/api/token"), String::new())?;
        request
            .headers_mut()
            .insert("x-aws-ec2-metadata-token-ttl-seconds", "300");
        let (status, token) = self.http.fetch(request, IMDS_TIMEOUT).await?;
        if status != 200 {
            return Err(no(format!(
                "instance metadata at {base} gave no token: {status}"
            )));
        }
        let get = async |path: &str| {
            let mut request = Http::request("GET", &format!("{base}{path}"), String::new())?;
            request
                .headers_mut()
                .try_insert("x-aws-ec2-metadata-token", token.clone())
                .map_err(|_| no("instance metadata gave a token that is no header value"))?;
            self.http.fetch(request, IMDS_TIMEOUT).await
        };
        let path = "/latest/meta-data/iam/security-credentials/";
        let role = match get(path).await? {
            (200, text) => text.lines().next().unwrap_or_default().trim().to_owned(),
            (404, _) => return Err(no("this instance has no IAM role")),
            (status, _) => return Err(no(format!("instance metadata answered {status}"))),
        };
        let (status, json) = get(&format!("{path}{role}")).await?;
        from_json(status, &json, base, "Ec2InstanceMetadata").map(Some)
    }
}

/// Credentials go in clear text over http: only to this host or the agents'
/// link-local addresses.
fn may_hold_credentials(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(
        host,
        "localhost" | "169.254.170.2" | "169.254.170.23" | "fd00:ec2::23"
    ) || host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback())
}

fn from_json(
    status: u16,
    json: &str,
    url: &str,
    provider: &'static str,
) -> Result<Credentials, NoCredentials> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        access_key_id: String,
        secret_access_key: String,
        token: Option<String>,
        expiration: Option<String>,
    }
    let answer: Answer = match serde_json::from_str(json) {
        Ok(answer) if status == 200 => answer,
        _ => {
            return Err(no(format!(
                "{provider} at {url} answered {status} without credentials"
            )));
        }
    };
    Ok(Credentials::new(
        answer.access_key_id,
        answer.secret_access_key,
        answer.token,
        answer.expiration.as_deref().and_then(instant),
        provider,
    ))
}

fn instant(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text, Format::DateTime)
        .ok()?
        .try_into()
        .ok()
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for &byte in value.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Profiles by name; the credentials file's keys win over the config file's.
#[derive(Default)]
struct Profiles(HashMap<String, HashMap<String, String>>);

impl Profiles {
    fn read([config, credentials]: &[Option<PathBuf>; 2]) -> Profiles {
        let text = |path: &Option<PathBuf>| {
            path.as_ref()
                .and_then(|path| std::fs::read_to_string(path).ok())
                .unwrap_or_default()
        };
        let mut profiles = Profiles::default();
        profiles.add(&text(config), true);
        profiles.add(&text(credentials), false);
        profiles
    }

    fn add(&mut self, text: &str, config: bool) {
        let mut section = None;
        for line in text.lines() {
            let nested = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(title) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                // In the config file every profile but the default says so.
                let mut words = title.split_whitespace();
                section = match (words.next(), words.next()) {
                    (Some("profile"), Some(name)) if config => Some(name.to_owned()),
                    (Some(name), None) if !config || name == "default" => Some(name.to_owned()),
                    _ => None,
                };
                if let Some(name) = &section {
                    self.0.entry(name.clone()).or_default();
                }
            } else if let (Some(name), Some((key, value)), false) =
                (&section, line.split_once('='), nested)
            {
                let value = value.split(" #").next().unwrap_or_default().trim();
                self.0
                    .entry(name.clone())
                    .or_default()
                    .insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_credentials_are_fetched_in_clear_text_from_nowhere_else() {
        for url in [
            "https://creds.example/x",
            "http://127.0.0.1:1/x",
            "http://[::1]/",
            "http://169.254.170.23/v1",
        ] {
            assert!(may_hold_credentials(url), "{url}");
        }
        for url in [
            "http://example.org/x",
            "http://127.0.0.1.example.org/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
        ] {
            assert!(!may_hold_credentials(url), "{url}");
        }
    }

    #[test]
    fn the_credentials_file_wins_and_nested_or_foreign_lines_are_not_ours() {
        let mut profiles = Profiles::default();
        profiles.add(
            "[default]\nregion = x\naws_access_key_id=old\ns3 =\n  aws_access_key_id = nested\n[profile b] ; c\nrole_arn= r # why\n[b2]\nq=1\n",
            true,
        );
        profiles.add("[default]\nAWS_ACCESS_KEY_ID = new\n[b]\nx = y=z\n", false);
        assert_eq!(profiles.0["default"]["aws_access_key_id"], "new");
        assert_eq!(profiles.0["b"]["role_arn"], "r");
        assert_eq!(profiles.0["b"]["x"], "y=z");
        assert!(!profiles.0.contains_key("b2"));
    }
}
