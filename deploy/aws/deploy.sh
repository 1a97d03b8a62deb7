#!/bin/sh
# Exam Stream on AWS: packages the code, deploys the template, prints the settings, takes it down again.
#
#   deploy.sh [OPTION...] deploy [PARAMETER=VALUE...]   of template.yaml, as StateStore=valkey
#   deploy.sh [OPTION...] ini                           the lines for the Moodle hosts' PHP, on stdout
#   deploy.sh [OPTION...] delete [--with-data]          the stack; with the bucket, the table and the key, too
#
#   --stack NAME        (exam-stream)
#   --region REGION     (as the AWS command line is configured)
#   --code-bucket NAME  where zip and jar go (exam-stream-code-ACCOUNT-REGION, created when missing)
#   --zip FILE          a function that is built already (else: cargo lambda build)
#   --jar FILE          a Flink application that is built already (else, for Analysis=yes: mvn package)
#   --sql DIR           the queries that go into it (queries)
#   --yes               asks nothing
#   --dry-run           prints every command that changes something, and runs none
#
# A parameter that is not given keeps its value, or its default the first time. What it does can be done again.
# Needs the AWS command line with credentials; docs/aws.md has it all in order.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }
fail() { printf 'deploy.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# A command that changes something: shown, and run unless this is a dry run.
run() {
    line=
    for word; do
        case $word in
        '' | *[!A-Za-z0-9_./:=@,%+-]*) word="'$(printf %s "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        line="$line $word"
    done
    say "+$line"
    [ "$dry" = yes ] || "$@"
}

stack=exam-stream region='' code_bucket='' zip='' jar='' sql=$root/queries yes=no dry=no
while [ $# -gt 0 ]; do
    case $1 in
    --stack) stack=${2:?NAME is missing}; shift ;;
    --region) region=${2:?REGION is missing}; shift ;;
    --code-bucket) code_bucket=${2:?NAME is missing}; shift ;;
    --zip) zip=${2:?FILE is missing}; shift ;;
    --jar) jar=${2:?FILE is missing}; shift ;;
    --sql) sql=$(CDPATH='' cd -- "${2:?DIR is missing}" && pwd); shift ;;
    --yes) yes=yes ;;
    --dry-run) dry=yes ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '/^set/d'; exit ;;
    -*) fail "there is no option $1: see --help" ;;
    *) break ;;
    esac
    shift
done
command=${1:-}
[ $# = 0 ] || shift

have aws || fail "the AWS command line is missing: see https://aws.amazon.com/cli/ or pip install awscli"
if [ -n "$region" ]; then
    AWS_DEFAULT_REGION=$region AWS_REGION=$region
    export AWS_DEFAULT_REGION AWS_REGION
fi

# The dry run of a deployment asks AWS nothing, not even who one is.
look_around() {
    if [ "$dry" = yes ]; then
        : "${region:=${AWS_REGION:-${AWS_DEFAULT_REGION:-REGION}}}"
        account=ACCOUNT
        return
    fi
    [ -n "$region" ] || region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || :)}}
    [ -n "$region" ] || fail "which region? Give --region, or set one with: aws configure"
    account=$(aws sts get-caller-identity --query Account --output text) ||
        fail "AWS does not know you: see aws configure, or aws sso login"
}

output() { # KEY
    aws cloudformation describe-stacks --stack-name "$stack" \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}

given() { # PARAMETER ARGUMENT... -> its value
    wanted=$1
    shift
    for pair; do
        case $pair in "$wanted="*) printf '%s\n' "${pair#*=}" ;; esac
    done
}

# --- deploy -----------------------------------------------------------------

make_code_bucket() {
    [ -n "$code_bucket" ] || code_bucket=exam-stream-code-$account-$region
    if [ "$dry" = no ] && aws s3api head-bucket --bucket "$code_bucket" >/dev/null 2>&1; then
        return
    fi
    if [ "$region" = us-east-1 ]; then
        run aws s3api create-bucket --bucket "$code_bucket"
    else
        run aws s3api create-bucket --bucket "$code_bucket" \
            --create-bucket-configuration "LocationConstraint=$region"
    fi
    run aws s3api put-public-access-block --bucket "$code_bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    case $region in
    cn-*) partition=aws-cn ;;
    us-gov-*) partition=aws-us-gov ;;
    *) partition=aws ;;
    esac
    run aws s3api put-bucket-policy --bucket "$code_bucket" --policy \
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"TlsOnly\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":[\"arn:$partition:s3:::$code_bucket\",\"arn:$partition:s3:::$code_bucket/*\"],\"Condition\":{\"Bool\":{\"aws:SecureTransport\":\"false\"}}}]}"
}

# CloudFormation sees new code by its name only, so the name is what is in it.
upload() { # FILE NAME EXTENSION -> key
    if [ -r "$1" ]; then
        digest=$(sha256sum <"$1" | cut -c 1-16)
    else
        [ "$dry" = yes ] || fail "cannot read $1"
        digest=DIGEST
    fi
    key=$2-$digest.$3
    run aws s3 cp --only-show-errors "$1" "s3://$code_bucket/$key"
}

deploy() {
    for pair; do
        case $pair in
        [A-Z]*=*) grep -q "^  ${pair%%=*}:\$" "$here/template.yaml" || fail "the template has no parameter ${pair%%=*}" ;;
        *) fail "$pair is no PARAMETER=VALUE" ;;
        esac
    done
    look_around
    make_code_bucket

    if [ -z "$zip" ]; then
        architecture=$(given Architecture "$@")
        if [ "$dry" = no ]; then
            have cargo-lambda || fail "cargo-lambda is missing: pip install cargo-lambda, or give --zip FILE"
        fi
        run cargo lambda build --release --manifest-path "$root/Cargo.toml" --package exam-lambda \
            "--$(case ${architecture:-arm64} in x86_64) echo x86-64 ;; *) echo arm64 ;; esac)" --output-format zip
        zip=${CARGO_TARGET_DIR:-$root/target}/lambda/bootstrap/bootstrap.zip
    fi
    upload "$zip" fold zip
    set -- "$@" "CodeBucket=$code_bucket" "FunctionKey=$key"

    analysis=$(given Analysis "$@")
    if [ "$analysis" = yes ]; then
        if [ -z "$jar" ]; then
            [ "$dry" = yes ] || have mvn || fail "Maven is missing: apt-get install maven, or give --jar FILE"
            run mvn --batch-mode --quiet --file "$here/flink/pom.xml" "-Dsql=$sql" clean package
            jar=$here/flink/target/exam-stream-analysis.jar
        fi
        upload "$jar" analysis jar
        set -- "$@" "AnalysisKey=$key"
    fi

    run aws cloudformation deploy --stack-name "$stack" --template-file "$here/template.yaml" \
        --s3-bucket "$code_bucket" --s3-prefix template --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
        --tags "project=exam-stream" "stack=$stack" \
        --parameter-overrides "$@"

    if [ "$analysis" = yes ]; then
        # CloudFormation makes the application and does not start it; one that runs takes new code by itself.
        if [ "$dry" = yes ] || [ "$(application_status)" = READY ]; then
            run aws kinesisanalyticsv2 start-application --application-name "$stack-analysis"
        fi
    fi
    if [ "$dry" = no ]; then
        say
        say "Attach this policy to the role of the Moodle hosts (MoodleRoleName does it): $(output MoodlePolicy)"
        say "Dashboard: $(output Dashboard)"
        say "The settings of the Moodle hosts: deploy.sh --stack $stack --region $region ini"
    fi
}

application_status() {
    aws kinesisanalyticsv2 describe-application --application-name "$stack-analysis" \
        --query ApplicationDetail.ApplicationStatus --output text 2>/dev/null || :
}

# --- ini --------------------------------------------------------------------

ini() {
    [ "$dry" = no ] || fail "ini changes nothing: leave out --dry-run"
    state_url=$(output StateUrl)
    [ -n "$state_url" ] || fail "there is no stack $stack here: see --stack and --region"
    secret=$(output StateSecret)
    if [ -n "$secret" ] && [ "$secret" != None ]; then
        password=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text |
            sed -n 's/.*"password": *"\([^"]*\)".*/\1/p')
        [ -n "$password" ] || fail "the secret $secret holds no password"
        state_url=$(printf %s "$state_url" | sed "s/:PASSWORD@/:$password@/")
    fi
    cat <<INI
; Exam Stream on AWS, stack $stack. It may hold a password: 0640, root and the pool's group.
exam_stream.endpoint =
exam_stream.region = $(output Region)
exam_stream.stream = $(output Stream)
exam_stream.state_url = "$state_url"
INI
}

# --- delete -----------------------------------------------------------------

empty() { # BUCKET, every version of every object
    while :; do
        versions=$(aws s3api list-object-versions --bucket "$1" --max-items 300 --output json \
            --query '{Objects: [Versions, DeleteMarkers][][].{Key: Key, VersionId: VersionId}}')
        case $versions in *'"Key"'*) ;; *) return ;; esac
        aws s3api delete-objects --bucket "$1" --delete "$versions" --output text >/dev/null
    done
}

delete() {
    with_data=no
    for word; do
        case $word in
        --with-data) with_data=yes ;;
        *) fail "delete has no option $word" ;;
        esac
    done
    if [ "$dry" = yes ]; then
        bucket=BUCKET table=TABLE key=KEY
    else
        bucket=$(output Bucket) table=$(output Table) key=$(output Key)
        [ -n "$bucket" ] || fail "there is no stack $stack here: see --stack and --region"
        [ "$table" != None ] || table=
        say "With the stack go its queues, its logs, a cache with its state, and what Firehose has not"
        say "written yet: wait a few minutes after the last answer."
        [ "$with_data" = no ] || say "Every record of every exam in $bucket is deleted, for good${table:+, and the state in $table}."
        if [ "$yes" = no ]; then
            printf 'Type the name of the stack to delete it: ' >&2
            read -r typed
            [ "$typed" = "$stack" ] || fail "nothing was deleted"
        fi
    fi
    if [ "$dry" = yes ] || [ "$(application_status)" = RUNNING ]; then
        run aws kinesisanalyticsv2 stop-application --application-name "$stack-analysis"
    fi
    run aws cloudformation delete-stack --stack-name "$stack"
    run aws cloudformation wait stack-delete-complete --stack-name "$stack"
    if [ "$with_data" = no ]; then
        say "Kept: the bucket $bucket${table:+, the table $table}, the key $key. delete --with-data deletes them, too."
        return
    fi
    run empty "$bucket"
    run aws s3api delete-bucket --bucket "$bucket"
    [ -z "$table" ] || run aws dynamodb delete-table --table-name "$table"
    # AWS keeps a key for a week at least; until then it can be had back.
    run aws kms schedule-key-deletion --key-id "$key" --pending-window-in-days 7
}

case $command in
deploy | ini | delete) "$command" "$@" ;;
'') fail "deploy, ini or delete? See --help" ;;
*) fail "there is no command $command: see --help" ;;
esac
