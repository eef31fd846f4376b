// The verbs of `outlive`: one file each. Every one declares its command in the parser.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/cli.h"

namespace outlive::cli {

void add_run(CLI::App& app, Cli& cli);
void add_update(CLI::App& app, Cli& cli);
void add_rollback(CLI::App& app, Cli& cli);
void add_plan(CLI::App& app, Cli& cli);
void add_status(CLI::App& app, Cli& cli);
void add_list(CLI::App& app, Cli& cli);
void add_timeline(CLI::App& app, Cli& cli);
void add_log(CLI::App& app, Cli& cli);
void add_stop(CLI::App& app, Cli& cli);
void add_reboot(CLI::App& app, Cli& cli);
void add_kexec(CLI::App& app, Cli& cli);
void add_end(CLI::App& app, Cli& cli);
void add_kho(CLI::App& app, Cli& cli);  // only with OUTLIVE_KHO_DEBUG
void add_finalize_format(CLI::App& app, Cli& cli);
void add_fsck(CLI::App& app, Cli& cli);
void add_reload(CLI::App& app, Cli& cli);
void add_metrics(CLI::App& app, Cli& cli);
void add_compat(CLI::App& app, Cli& cli);
void add_version(CLI::App& app, Cli& cli);

// What several verbs have in common: --json.
void add_json_option(CLI::App& verb, Cli& cli);

}  // namespace outlive::cli
