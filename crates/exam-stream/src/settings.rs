//! The settings that several subcommands share, named like the extension's INI
//! entries: `exam_stream.spool_dir` is `--spool-dir` or `EXAM_STREAM_SPOOL_DIR`.
