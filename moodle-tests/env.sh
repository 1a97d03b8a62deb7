# A real Moodle with the plugin, the extension and everything they talk to.
#
# Sourced by run.sh. Promises: nothing outside one work directory and one cache
# directory is written; every server listens on loopback or a socket of its own,
# runs without privileges, and is stopped by its pid when the script ends; two
# runs at once do not meet. Refuses nothing that is already there: a Moodle in
# $MOODLE_DIR or in the cache is copied, never changed.
#
# Environment:
#   MOODLE_DIR         a Moodle source tree to use instead of the cached one
#   MOODLE_TESTS_WORK  keep the work directory here and take it up again next time
#   EXAM_STREAM_SO     the extension, and EXAM_STREAM_BIN the program, so that they
#                      are not built
#   MOODLE_TESTS_INI   PHP INI lines to use instead of `extension=` our own build
#   TEST_TMP           where the work directory is made (default /dev/shm, else /tmp)

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
repo=$(dirname "$here")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/exam-stream
MOODLE_BRANCH=MOODLE_405_STABLE

# What a bare Debian 12/13 or Ubuntu 24.04 needs; `dev` installs it.
es_packages() {
    echo "ca-certificates curl git mariadb-server-core mariadb-client-core nginx redis-server" \
         "php-cli php-fpm php-mysql php-curl php-gd php-intl php-mbstring php-soap php-xml php-zip" \
         "phpunit php-mikey179-vfsstream nodejs npm procps util-linux"
    # Ubuntu's chromium is a snap, which needs more than a package manager; es_chromium fetches one there.
    grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null || echo chromium
}

say() { printf '%s\n' "$*" >&2; }
die() { say "moodle-tests: $*"; exit 1; }

# Moodle refuses nothing as root, but php-fpm and MariaDB do, and files made by
# root would shut the web server out: everything runs as Debian's web user.
if [ "$(id -u)" = 0 ]; then
    web=www-data
    as_web() { setpriv --reuid="$web" --regid="$web" --clear-groups env HOME="$work" "$@"; }
else
    web=$(id -un)
    as_web() { "$@"; }
fi

# Starts a server in the background as that user; its output is log/NAME.log.
es_spawn() { # name, command...
    name=$1; shift
    if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid="$web" --regid="$web" --clear-groups "$@"; fi
    { exec "$@"; } > "$work/log/$name.log" 2>&1 &
    echo $! > "$work/run/$name.pid"
}

es_hash() { cat -- "$@" | sha256sum | cut -c1-16; }

# The code that a web server serves: from Moodle 5.1 on in a folder of its own, beside
# config.php, vendor and admin/cli.
es_code() { if [ -d "$1/public/mod/quiz" ]; then echo "$1/public"; else echo "$1"; fi; }

# Prints the Moodle source tree; fails where none is to be had.
es_find_moodle() {
    for dir in "${MOODLE_DIR:-}" "$cache/moodle-4.5"; do
        [ -n "$dir" ] && [ -f "$(es_code "$dir")/version.php" ] && [ -f "$(es_code "$dir")/mod/quiz/attempt.php" ] && { echo "$dir"; return 0; }
    done
    command -v git >/dev/null || return 1
    mkdir -p "$cache"
    say "fetching Moodle ($MOODLE_BRANCH) into $cache/moodle-4.5"
    if timeout 900 git clone -q --depth 1 -b "$MOODLE_BRANCH" https://github.com/moodle/moodle.git "$cache/moodle-4.5.$$" >&2; then
        mv "$cache/moodle-4.5.$$" "$cache/moodle-4.5" && echo "$cache/moodle-4.5"
        return
    fi
    rm -rf "$cache/moodle-4.5.$$"
    return 1
}

# Opens the work directory, and makes sure that whatever ends this script also
# ends what it started.
es_begin() {
    umask 022
    if [ -n "${MOODLE_TESTS_WORK:-}" ]; then
        work=$MOODLE_TESTS_WORK; mkdir -p "$work"
    else
        base=${TEST_TMP:-/dev/shm}; [ -d "$base" ] && [ -w "$base" ] || base=/tmp
        work=$(mktemp -d "$base/exam-stream-moodle.XXXXXX")
    fi
    mkdir -p "$work/run" "$work/log" "$work/php.d" "$work/tmp"
    chmod 755 "$work"
    # MariaDB's socket has to fit into 107 bytes.
    [ ${#work} -lt 80 ] || die "the work directory's name is too long for a socket: $work"
    kill -0 "$(cat "$work/run/main.pid" 2>/dev/null || echo none)" 2>/dev/null && die "$work is in use"
    echo $$ > "$work/run/main.pid"
    trap es_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

es_end() {
    status=$?
    trap - EXIT
    for name in nginx fpm serve redis mariadb; do es_stop "$name"; done
    rm -f "$work/run/main.pid"
    [ -n "${MOODLE_TESTS_WORK:-}" ] || rm -rf "$work"
    exit "$status"
}

es_stop() { # name [signal]
    pid=$(cat "$work/run/$1.pid" 2>/dev/null) || return 0
    kill -"${2:-TERM}" "$pid" 2>/dev/null
    i=0
    while kill -0 "$pid" 2>/dev/null && [ $i -lt 150 ]; do sleep 0.1; i=$((i + 1)); done
    kill -KILL "$pid" 2>/dev/null
    rm -f "$work/run/$1.pid"
}

es_await() { # seconds, what, command...
    tries=$(($1 * 10)); what=$2; shift 2
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "$what did not come up; see $work/log"
        sleep 0.1
    done
}

es_port() { # a free port of the loopback, the given one if it is free
    php -r '$s = @stream_socket_server("tcp://127.0.0.1:" . $argv[1]) ?: stream_socket_server("tcp://127.0.0.1:0");
        echo substr(strrchr(stream_socket_get_name($s, false), ":"), 1);' "${1:-0}"
}

# PHP's command line as Moodle wants it, with our INI.
es_php() { PHP_INI_SCAN_DIR=":$work/php.d" as_web php -d max_input_vars=5000 -d memory_limit=-1 "$@"; }

# The extension, the program and Redis: what the plugin talks to.
es_extension() {
    if [ -n "${MOODLE_TESTS_INI:-}" ]; then
        printf '%s\n' "$MOODLE_TESTS_INI" > "$work/php.d/exam_stream.ini"
        return
    fi
    if [ -z "${EXAM_STREAM_SO:-}" ] || [ -z "${EXAM_STREAM_BIN:-}" ]; then
        (cd "$repo" && cargo build --release --workspace --exclude exam-analysis >&2) || die "the extension does not build"
        target=${CARGO_TARGET_DIR:-$repo/target}/release
        EXAM_STREAM_SO=$target/libexam_stream.so EXAM_STREAM_BIN=$target/exam-stream
    fi
    # Copies, because the web user may not be able to read the source tree, and
    # because a build must not change a library under a running php-fpm.
    rm -f "$work/exam_stream.so" "$work/exam-stream"
    cp "$EXAM_STREAM_SO" "$work/exam_stream.so"
    cp "$EXAM_STREAM_BIN" "$work/exam-stream"
    mkdir -p "$work/spool" "$work/serve"
    chown "$web" "$work/spool" "$work/serve"
    redis_port=${redis_port:-$(es_port 16379)}
    serve_port=${serve_port:-$(es_port 14573)}
    cat > "$work/php.d/exam_stream.ini" <<INI
extension=$work/exam_stream.so
exam_stream.endpoint=http://127.0.0.1:$serve_port
exam_stream.stream=exam
exam_stream.state_url=redis://127.0.0.1:$redis_port
exam_stream.spool_dir=$work/spool
INI
}

es_redis_start() {
    es_spawn redis redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --dir "$work/tmp" \
        --maxmemory-policy noeviction --daemonize no
    es_await 10 redis redis-cli -p "$redis_port" ping
}

es_serve_start() {
    es_spawn serve "$work/exam-stream" serve --listen "127.0.0.1:$serve_port" --dir "$work/serve" --stream exam \
        --state "redis://127.0.0.1:$redis_port"
    es_await 15 'exam-stream serve' curl -s -o /dev/null "http://127.0.0.1:$serve_port/health"
}

# A copy of Moodle with the plugin where it is installed. Moodle itself is copied
# once per work directory, the plugin each time.
es_copy() {
    site=$work/moodle
    if [ ! -f "$site/.complete" ]; then
        rm -rf "$site"; mkdir "$site"
        (cd "$moodle" && tar cf - --exclude=./.git --exclude=./node_modules --exclude=./config.php .) | (cd "$site" && tar xf - --no-same-owner)
        touch "$site/.complete"
    fi
    code=$(es_code "$site")
    es_plugin
    es_config
}

es_plugin() {
    rm -rf "$code/local/examstream"
    [ "${1:-}" = none ] || [ ! -f "$repo/moodle-plugin/version.php" ] || cp -R "$repo/moodle-plugin" "$code/local/examstream"
}

es_config() {
    http_port=${http_port:-$(cat "$work/http_port" 2>/dev/null || es_port 18045)}
    echo "$http_port" > "$work/http_port"
    cat > "$site/config.php" <<PHP
<?php
unset(\$CFG);
global \$CFG;
\$CFG = new stdClass();
\$CFG->dbtype = 'mariadb';
\$CFG->dblibrary = 'native';
\$CFG->dbhost = 'localhost';
\$CFG->dbname = 'moodle';
\$CFG->dbuser = '$web';
\$CFG->dbpass = '';
\$CFG->prefix = 'm_';
\$CFG->dboptions = ['dbsocket' => '$work/run/mariadb.sock', 'dbcollation' => 'utf8mb4_unicode_ci'];
\$CFG->wwwroot = 'http://127.0.0.1:$http_port';
\$CFG->dataroot = '$work/moodledata';
\$CFG->admin = 'admin';
\$CFG->directorypermissions = 02770;
\$CFG->noemailever = true;
\$CFG->curlsecurityblockedhosts = '';
\$CFG->curlsecurityallowedport = '';
\$CFG->phpunit_prefix = 'p_';
\$CFG->phpunit_dataroot = '$work/phpunitdata';
require_once(__DIR__ . '/lib/setup.php');
PHP
}

# MariaDB on a data directory of its own, which is also what the cache holds: a
# cold copy of it is back in a second, where an installation takes minutes.
es_db_start() {
    if [ ! -d "$work/db/mysql" ]; then
        mkdir -p "$work/db"; chown "$web" "$work/db"
        as_web mariadb-install-db --no-defaults --datadir="$work/db" --auth-root-authentication-method=socket \
            --auth-root-socket-user="$web" --skip-test-db > "$work/log/mariadb-install.log" 2>&1 ||
            die "MariaDB's data directory cannot be made; see $work/log/mariadb-install.log"
    fi
    mariadbd=$(PATH=$PATH:/usr/sbin command -v mariadbd) || die "mariadbd is not installed"
    # Nobody needs this data after a power cut.
    es_spawn mariadb "$mariadbd" --no-defaults --datadir="$work/db" --socket="$work/run/mariadb.sock" --skip-networking \
        --tmpdir="$work/tmp" --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --skip-log-bin \
        --innodb-log-file-size=32M --innodb-buffer-pool-size=256M --character-set-server=utf8mb4 \
        --collation-server=utf8mb4_unicode_ci
    es_await 60 MariaDB es_sql 'SELECT 1'
    es_sql 'CREATE DATABASE IF NOT EXISTS moodle' || die "MariaDB refuses to make a database"
}

es_sql() { as_web mariadb --no-defaults --socket="$work/run/mariadb.sock" -u "$web" -BN -e "$1"; }

# Takes the plugin over as it is now, into a running site.
es_refresh() { es_plugin; es_upgrade; es_php "$site/admin/cli/purge_caches.php"; es_stop fpm; es_fpm_start; }

# Restores what was cached under a name and a key, or builds it and caches it.
# A snapshot is the database and the data directories.
es_snapshot() { # name key builder
    if [ "$(cat "$work/snapshot.$1" 2>/dev/null)" = "$2" ] && [ -d "$work/db/mysql" ]; then
        [ -f "$work/run/mariadb.pid" ] && kill -0 "$(cat "$work/run/mariadb.pid")" 2>/dev/null || es_db_start
        return
    fi
    es_stop mariadb
    rm -f "$work"/snapshot.*
    if [ -f "$cache/snapshots/$1-$2.tar" ]; then
        rm -rf "$work/db" "$work/moodledata" "$work/phpunitdata"
        (cd "$work" && tar xpf "$cache/snapshots/$1-$2.tar")
        es_db_start
    else
        "$3"
        es_stop mariadb
        mkdir -p "$cache/snapshots"
        (cd "$work" && tar cf "$cache/snapshots/$1-$2.$$" $(ls -d db moodledata phpunitdata 2>/dev/null)) &&
            mv "$cache/snapshots/$1-$2.$$" "$cache/snapshots/$1-$2.tar" || die "$cache/snapshots cannot be written"
        # Older snapshots of this name are of no use to anyone.
        ls -t "$cache/snapshots/$1"-*.tar 2>/dev/null | tail -n +3 | xargs -r rm -f
        es_db_start
    fi
    rm -f "$work"/snapshot.*
    echo "$2" > "$work/snapshot.$1"
}

es_versions() { cat "$(es_code "$moodle")/version.php"; php -r 'echo PHP_VERSION;'; mariadb --version; }

# Everything of the plugin that installing it reads.
es_plugin_key() {
    find "$repo/moodle-plugin/db" "$repo/moodle-plugin/version.php" "$repo/moodle-plugin/settings.php" "$repo/moodle-plugin/classes" \
        -type f -path '*' \( -path '*/db/*' -o -name version.php -o -name settings.php \) 2>/dev/null | sort | while read -r f; do cat "$f"; done
}

# Stock Moodle, installed.
es_build_stock() {
    rm -rf "$work/db" "$work/moodledata" "$work/phpunitdata"
    mkdir -p "$work/moodledata"; chown "$web" "$work/moodledata"
    es_plugin none
    es_db_start
    say "installing Moodle (some minutes, once)"
    es_php "$site/admin/cli/install_database.php" --agree-license --adminpass="$ADMIN_PASSWORD" --adminemail=admin@example.invalid \
        --fullname='Exam Stream' --shortname=exam > "$work/log/install.log" 2>&1 || die "Moodle cannot be installed: $(tail -n 5 "$work/log/install.log")"
    es_plugin
}

# The plugin installed into it as an administrator does, and the course.
es_build_site() {
    es_snapshot stock "$(es_versions | es_hash)" es_build_stock
    es_upgrade
    es_php "$work/site.php" --moodle="$site" > "$work/log/site.log" 2>&1 || die "the course cannot be built: $(tail -n 5 "$work/log/site.log")"
}

es_upgrade() {
    es_php "$site/admin/cli/upgrade.php" --non-interactive > "$work/log/upgrade.log" 2>&1 || die "the plugin cannot be installed: $(tail -n 5 "$work/log/upgrade.log")"
}

# Brings up the site for the browser: the database, the course, the plugin as it is now.
es_site() {
    cp "$here/site.php" "$work/site.php"
    es_phpunit_tools
    es_snapshot site "$({ es_versions; es_plugin_key; cat "$here/site.php"; } | es_hash)" es_build_site
    # The cached caches know another build of the plugin, and may know another port.
    es_php "$site/admin/cli/purge_caches.php" >/dev/null || die "Moodle's caches cannot be purged"
}

# PHPUnit: Debian's package where it is the one Moodle asks for, else composer's.
es_phpunit_tools() {
    [ -f "$site/vendor/autoload.php" ] && return
    # The lock file's: from 5.2 on composer.json asks for a package that asks for it.
    wanted=$(sed -n '/"name": "phpunit\/phpunit"/ { n; s/.*"version": "\([0-9]*\)\..*/\1/p; q; }' "$site/composer.lock")
    if phpunit --version 2>/dev/null | grep -q "^PHPUnit $wanted\."; then
        phpunit=$(readlink -f "$(command -v phpunit)")
        libraries=$(dirname "$(dirname "$phpunit")")/share/php
        mkdir -p "$site/vendor/bin" "$site/vendor/phpunit/phpunit"
        echo '{}' > "$site/vendor/phpunit/phpunit/composer.json"
        ln -sf "$phpunit" "$site/vendor/bin/phpunit"
        cat > "$site/vendor/autoload.php" <<PHP
<?php
require_once('$libraries/PHPUnit/Autoload.php');
require_once('$libraries/org/bovigo/vfs/autoload.php');
// Composer's returns its loader, and from 5.1 on Moodle asks it this when it is installed. From
// 5.2 on its class has to be there, too; Moodle 4.5 brings the real one with a library.
\$loader = new class {
    public function isClassMapAuthoritative() { return true; }
};
spl_autoload_register(fn(\$class) => \$class === 'Composer\\Autoload\\ClassLoader' && class_alias(\$loader::class, \$class));
return \$loader;
PHP
    else
        command -v composer >/dev/null || die "Moodle wants PHPUnit $wanted: install the package phpunit, or composer"
        (cd "$site" && composer install --no-interaction --quiet) || die "composer cannot install PHPUnit for Moodle"
    fi
}

# Moodle's suites start in an Australian locale, and from 5.1 on refuse to without one. It is
# Debian's C.UTF-8 under that name where the machine has none: nothing here reads its words.
es_locale() {
    locale -a 2>/dev/null | grep -qi '^en_AU\.utf-\{0,1\}8$' && return
    mkdir -p "$work/locale"
    ln -sfn /usr/lib/locale/C.utf8 "$work/locale/en_AU.UTF-8"
    export LOCPATH="$work/locale"
}

es_build_phpunit() {
    rm -rf "$work/db" "$work/moodledata" "$work/phpunitdata"
    mkdir -p "$work/moodledata" "$work/phpunitdata"; chown "$web" "$work/moodledata" "$work/phpunitdata"
    es_db_start
    say "installing Moodle for PHPUnit (some minutes, once per change of the plugin's db/)"
    es_php "$code/admin/tool/phpunit/cli/util.php" --install > "$work/log/phpunit-install.log" 2>&1 ||
        die "Moodle's PHPUnit site cannot be installed: $(tail -n 5 "$work/log/phpunit-install.log")"
}

es_phpunit() { # arguments for phpunit
    es_phpunit_tools
    es_locale
    es_snapshot phpunit "$({ es_versions; es_plugin_key; } | es_hash)" es_build_phpunit
    chown "$web" "$site" "$code"
    es_php "$code/admin/tool/phpunit/cli/util.php" --buildconfig > "$work/log/phpunit-config.log" 2>&1 || die "phpunit.xml cannot be written"
    (cd "$site" && es_php vendor/bin/phpunit "$@")
}

# Core's suites without the plugin, to compare with. Leaves a site without it.
es_phpunit_stock() {
    es_plugin none
    es_phpunit_tools
    es_locale
    es_snapshot phpunit-stock "$(es_versions | es_hash)" es_build_phpunit
    es_php "$code/admin/tool/phpunit/cli/util.php" --buildconfig > "$work/log/phpunit-config.log" 2>&1 || die "phpunit.xml cannot be written"
    (cd "$site" && es_php vendor/bin/phpunit "$@")
    set -- $?
    es_plugin
    return "$1"
}

# Core's own suite of the quiz gives the same result with the plugin as without.
es_compare_core() {
    es_phpunit --testsuite mod_quiz_testsuite > "$work/log/core-with.log" 2>&1
    es_phpunit_stock --testsuite mod_quiz_testsuite > "$work/log/core-without.log" 2>&1
    for log in core-with core-without; do
        # What failed, and how many tests there were; not where the copy lies.
        sed -n 's/^[0-9]*) //p; s/^OK (\([0-9]* tests\).*/\1/p; s/^Tests: \([0-9]*\),.*/\1 tests/p' "$work/log/$log.log" > "$work/log/$log.txt"
    done
    echo "with the plugin: $(tr '\n' ' ' < "$work/log/core-with.txt")"
    echo "without it:      $(tr '\n' ' ' < "$work/log/core-without.txt")"
    grep -q ' tests$' "$work/log/core-with.txt" && cmp -s "$work/log/core-with.txt" "$work/log/core-without.txt"
}

# Runs a suite, shows what it prints, and notes in $summary how it ended.
es_suite() { # name, log, command...
    suite=$1 log=$work/log/$2; shift 2
    say "── $suite"
    echo 1 > "$work/run/status"
    { "$@"; echo $? > "$work/run/status"; } 2>&1 | tee "$log"
    # Node's figures in the form in which `dev` adds up those of all suites.
    awk '/^ℹ (pass|fail|skipped) / { n[$2] += $3; found = 1 }
        END { if (found) printf "%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skipped"] }' "$log" | tee -a "$log"
    figures=$(sed -n 's/.*\(OK ([^)]*)\)$/\1/p; s/^\(Tests: .*\)\.$/\1/p; s/^\([0-9]* passed, .*\)/\1/p' "$log" | tr '\n' ' ')
    [ "$(cat "$work/run/status")" = 0 ] && verdict=ok || verdict=FAILED
    summary="$summary$(printf '%-34s %-7s %s' "$suite" "$verdict" "$figures")
"
}

# Debian's Chromium, else the one that Playwright offers.
es_chromium() {
    command -v chromium || command -v google-chrome && return
    PLAYWRIGHT_BROWSERS_PATH=$cache/chromium node "$modules/playwright-core/cli.js" install --with-deps chromium >&2 &&
        find "$cache/chromium" -type f -name chrome -perm -u+x | grep .
}

# Node with what the browser tests need to know.
es_node() {
    modules=$(es_npm "$here/browser") || die "npm cannot install playwright-core"
    chromium=$(es_chromium) || die "no Chromium is to be had: install the package chromium"
    mkdir -p "$work/profiles"
    ES_URL=http://127.0.0.1:$http_port ES_WORK=$work ES_SITE=$site ES_CODE=$code ES_PASSWORD=$PASSWORD ES_MODULES=$modules ES_RUN=$here/run.sh \
        ES_PROFILES=$work/profiles ES_CHROMIUM=$chromium ES_RECORDS=${ES_RECORDS:-$work/serve/cold} node "$@"
}

# The browser tests, one file after the other: they share the servers, and some stop them.
es_browser() { # [full] [file...]
    full=0; [ "${1:-}" = full ] && { full=1; shift; }
    [ $# -gt 0 ] || set -- "$here"/browser/*.test.mjs
    ES_FULL=$full es_node --test --test-concurrency=1 --test-reporter=spec "$@"
}

# Debian's php-fpm as it comes: its own pool file, listening elsewhere.
es_fpm_start() {
    version=$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')
    fpm=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "php-fpm$version" || PATH=$PATH:/usr/sbin command -v php-fpm) || die "php-fpm is not installed"
    {
        printf '[global]\npid = %s\nerror_log = %s\n' "$work/run/fpm.pid" "$work/log/fpm.log"
        sed -e "s#^listen = .*#listen = $work/run/fpm.sock#" "/etc/php/$version/fpm/pool.d/www.conf"
        # What a worker says is for the tests to read; a line of it costs the master some work with each request.
        printf 'catch_workers_output = %s\n' "${fpm_output:-yes}"
    } > "$work/fpm.conf"
    [ "$(id -u)" = 0 ] || sed -i -e '/^\(user\|group\|listen.owner\|listen.group\) /d' "$work/fpm.conf"
    PHP_INI_SCAN_DIR=":$work/php.d" "$fpm" --fpm-config "$work/fpm.conf" --daemonize
    es_await 10 php-fpm test -S "$work/run/fpm.sock"
}

# As the kernel does when memory is short: the master and its children at once.
es_fpm_kill() {
    pid=$(cat "$work/run/fpm.pid") && kill -KILL "$pid" $(ps -o pid= --ppid "$pid") 2>/dev/null
    rm -f "$work/run/fpm.pid" "$work/run/fpm.sock"
}

es_unload() { mv "$work/php.d/exam_stream.ini" "$work/php.d/exam_stream.off"; es_stop fpm; es_fpm_start; }
es_load() { mv "$work/php.d/exam_stream.off" "$work/php.d/exam_stream.ini"; es_stop fpm; es_fpm_start; }

es_opcache() { # 0 or 1
    echo "opcache.enable=$1" > "$work/php.d/opcache.ini"; es_stop fpm; es_fpm_start
}

es_nginx_start() {
    nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || die "nginx is not installed"
    {
        [ "$(id -u)" = 0 ] && echo "user $web;"
        cat <<NGINX
worker_processes 1;
pid $work/run/nginx.pid;
error_log $work/log/nginx.log;
events { worker_connections 512; }
http {
    include /etc/nginx/mime.types;
    access_log $work/log/access.log;
    client_max_body_size 64m;
    client_body_temp_path $work/tmp/body;
    fastcgi_temp_path $work/tmp/fastcgi;
    proxy_temp_path $work/tmp/proxy;
    uwsgi_temp_path $work/tmp/uwsgi;
    scgi_temp_path $work/tmp/scgi;
    server {
        listen 127.0.0.1:$http_port;
        root $code;
        index index.php;
        location ~ ^(.+\.php)(/.*)?\$ {
            include /etc/nginx/fastcgi_params;
            fastcgi_param HTTP_HOST \$http_host;
            fastcgi_param SCRIPT_FILENAME \$document_root\$1;
            fastcgi_param SCRIPT_NAME \$1;
            fastcgi_param PATH_INFO \$2;
            fastcgi_read_timeout 300;
            fastcgi_pass unix:$work/run/fpm.sock;
        }
    }
}
NGINX
    } > "$work/nginx.conf"
    "$nginx" -c "$work/nginx.conf" -e "$work/log/nginx.log" || die "nginx does not start; see $work/log/nginx.log"
}

# What a function needs that is called from another process.
es_vars() {
    for name in moodle site code http_port redis_port serve_port fpm_output; do
        eval "printf '%s=%s\n' $name \"\${$name:-}\""
    done > "$work/vars"
}

es_web_start() { es_fpm_start; es_nginx_start; }

# npm packages, cached by what was asked for.
es_npm() { # directory with a package.json
    modules=$cache/npm/$(es_hash "$1/package.json")
    if [ ! -d "$modules/node_modules" ]; then
        rm -rf "$modules.$$"; mkdir -p "$modules.$$"; cp "$1/package.json" "$modules.$$/"
        (cd "$modules.$$" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --silent >&2) || return 1
        mv "$modules.$$" "$modules" 2>/dev/null || rm -rf "$modules.$$"
    fi
    echo "$modules/node_modules"
}

# Moodle's own grunt builds and lints what is in moodle-plugin/amd. Of its tools
# three need a download from elsewhere or a compiler, and nothing of ours needs them.
es_amd() {
    node -e '
        const fs = require("fs"), p = JSON.parse(fs.readFileSync(process.argv[1]));
        for (const name of ["shifter", "istanbul", "hugo-bin", "hugo-lunr-indexer"]) delete p.devDependencies[name];
        fs.mkdirSync(process.argv[2], {recursive: true});
        fs.writeFileSync(process.argv[2] + "/package.json", JSON.stringify(p));
    ' "$moodle/package.json" "$work/grunt"
    modules=$(es_npm "$work/grunt") || die "npm cannot install Moodle's build tools"
    ln -sfn "$modules" "$site/node_modules"
    root=${code#"$site"}/local/examstream
    (cd "$site" && node node_modules/grunt/bin/grunt amd --root="${root#/}" --max-lint-warnings=0) > "$work/log/grunt.log" 2>&1 ||
        { cat "$work/log/grunt.log" >&2; die "Moodle's grunt refuses moodle-plugin/amd"; }
}
