<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

/**
 * Site settings.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use local_examstream\local\door;
use local_examstream\local\extension;
use local_examstream\local\site;
use local_examstream\local\switches;

defined('MOODLE_INTERNAL') || die();

if ($hassiteconfig) {
    $settings = new admin_settingpage('local_examstream', new lang_string('pluginname', 'local_examstream'));
    $ADMIN->add('localplugins', $settings);
    $ADMIN->add('localplugins', new admin_externalpage(
        'local_examstream_test',
        new lang_string('test', 'local_examstream'),
        new moodle_url('/local/examstream/test.php'),
        'moodle/site:config',
        true
    ));

    if ($ADMIN->fulltree) {
        // The door reads some of the settings from its file.
        $publish = function (admin_setting $setting) use ($settings): void {
            $setting->set_updatedcallback('\local_examstream\local\keys::publish');
            $settings->add($setting);
        };

        $settings->add(new admin_setting_heading(
            'local_examstream/connection',
            new lang_string('setting_connection', 'local_examstream'),
            (new extension())->is_available()
                ? html_writer::link(
                    new moodle_url('/local/examstream/test.php'),
                    new lang_string('test', 'local_examstream'),
                    ['class' => 'btn btn-secondary']
                )
                : $OUTPUT->notification(get_string('check_extension_missing', 'local_examstream'), 'warning', false)
        ));

        $publish(new admin_setting_configcheckbox(
            'local_examstream/enabled',
            new lang_string('setting_enabled', 'local_examstream'),
            new lang_string('setting_enabled_desc', 'local_examstream'),
            site::DEFAULTS['enabled']
        ));
        $settings->add(new admin_setting_configcheckbox(
            'local_examstream/quizdefault',
            new lang_string('setting_quizdefault', 'local_examstream'),
            new lang_string('setting_quizdefault_desc', 'local_examstream'),
            site::DEFAULTS['quizdefault']
        ));
        $settings->add(new admin_setting_configselect(
            'local_examstream/mode',
            new lang_string('setting_mode', 'local_examstream'),
            new lang_string('setting_mode_desc', 'local_examstream'),
            site::DEFAULTS['mode'],
            [
                'door' => new lang_string('setting_mode_door', 'local_examstream'),
                'ws' => new lang_string('setting_mode_ws', 'local_examstream'),
            ]
        ));
        $alive = new admin_setting_configduration(
            'local_examstream/aliveseconds',
            new lang_string('setting_aliveseconds', 'local_examstream'),
            new lang_string('setting_aliveseconds_desc', 'local_examstream'),
            site::DEFAULTS['aliveseconds'],
            1
        );
        $alive->set_min_duration(5);
        $alive->set_max_duration(HOURSECS);
        $settings->add($alive);
        $life = new admin_setting_configduration(
            'local_examstream/tokenlife',
            new lang_string('setting_tokenlife', 'local_examstream'),
            new lang_string('setting_tokenlife_desc', 'local_examstream'),
            site::DEFAULTS['tokenlife'],
            HOURSECS
        );
        $life->set_min_duration(10 * MINSECS);
        $life->set_max_duration(DAYSECS);
        $settings->add($life);
        $publish(new admin_setting_configtext(
            'local_examstream/siteid',
            new lang_string('setting_siteid', 'local_examstream'),
            new lang_string('setting_siteid_desc', 'local_examstream'),
            site::id(),
            '/^[A-Za-z0-9_-]{1,64}\z/'
        ));

        $settings->add(new admin_setting_heading(
            'local_examstream/switches',
            new lang_string('setting_switches', 'local_examstream'),
            new lang_string('setting_switches_desc', 'local_examstream')
        ));
        foreach (array_keys(switches::BITS) as $switch) {
            $choices = [];
            foreach (switches::SITE as $choice) {
                $choices[$choice] = new lang_string("setting_switch_$choice", 'local_examstream');
            }
            $publish(new admin_setting_configselect(
                "local_examstream/$switch",
                new lang_string("{$switch}_setting", 'local_examstream'),
                new lang_string("{$switch}_setting_help", 'local_examstream'),
                site::DEFAULTS[$switch],
                $choices
            ));
        }

        $settings->add(new admin_setting_heading(
            'local_examstream/limits',
            new lang_string('setting_limits', 'local_examstream'),
            new lang_string('setting_limits_desc', 'local_examstream')
        ));
        foreach (array_keys(door::LIMITS) as $limit) {
            $publish(new admin_setting_configtext(
                "local_examstream/$limit",
                new lang_string("setting_$limit", 'local_examstream'),
                new lang_string('setting_limit_desc', 'local_examstream', door::LIMITS[$limit]),
                door::LIMITS[$limit],
                PARAM_INT
            ));
        }
    }
}
