//! What the definition of a command line knows: how it is called, its options, and the sections of its help.

use clap::{Arg, Command};

use crate::man::markup::{Roff, escaped};

/// A section of the help that comes after the options: its title and its lines.
pub(crate) type HelpSection = (String, Vec<String>);

/// The name, the options with their values, and the operands in each form that the command has. The forms are written, a
/// line each; without them there is one, of the positional arguments.
pub(crate) fn synopsis(roff: &mut Roff, command: &Command, name: &str, forms: &str) {
    let own = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set() && !arg.is_global_set());
    let in_a_form = |arg: &Arg| {
        arg.get_long().is_some_and(|long| forms.split([' ', '`']).any(|word| word.strip_prefix("--") == Some(long)))
    };
    let options: Vec<String> = own.filter(|arg| !in_a_form(arg)).map(in_brackets).collect();
    let positional = positionals(command);
    let forms: Vec<&str> = if forms.is_empty() { vec![&positional] } else { forms.lines().collect() };
    for form in forms {
        roff.line(&format!(".SY \"{}\"", escaped(name)));
        options.iter().for_each(|option| roff.line(option));
        roff.line("[\\fICOMMON\\~OPTIONS\\fR]");
        roff.filled(form);
        roff.line(".YS");
        // groff hyphenates again after it.
        roff.line(".nh");
    }
}

/// The commands below one.
pub(crate) fn commands(roff: &mut Roff, command: &Command, page: &str) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        if name == "help" {
            roff.tagged("\\fBhelp\\fR [\\fICOMMAND\\fR]", "Print help");
        } else {
            let what = command.get_about().map(ToString::to_string).unwrap_or_default();
            roff.tagged(&format!("\\fB{}\\fR(8)", escaped(&format!("{page}-{name}"))), &what);
        }
    }
}

/// Operands, then options, each heading a subsection.
pub(crate) fn options(roff: &mut Roff, command: &Command) {
    for arg in command.get_positionals() {
        roff.line(".TP");
        roff.line(&operand_in_roff(arg));
        help(roff, arg);
    }
    let mut arguments: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    // As help has it: own options first, in their order.
    arguments.sort_by_key(|arg| arg.is_global_set());
    let mut headings: Vec<Option<&str>> = vec![None];
    for heading in arguments.iter().map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        heading.into_iter().for_each(|heading| roff.subsection(heading));
        for arg in arguments.iter().filter(|arg| arg.get_help_heading() == heading) {
            roff.line(".TP");
            roff.line(&spelled(arg, ", "));
            help(roff, arg);
        }
    }
}

/// What an option does, its values if they are words, and its default.
fn help(roff: &mut Roff, arg: &Arg) {
    let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let is_value = arg.get_action().takes_values() && !arg.is_positional();
    let default =
        if is_value && !default.is_empty() { format!(" [default: {}]", default.join(",")) } else { String::new() };
    let text = text.replace(" (see more with '--help')", "");
    roff.filled(&format!("{text}{default}"));
    let values = arg.get_possible_values();
    if values.is_empty() || !is_value {
        return;
    }
    roff.line(".RS");
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        let meaning = value.get_help().map(ToString::to_string).unwrap_or_default();
        roff.tagged(&format!("\\fB{}\\fR", escaped(value.get_name())), &meaning);
    }
    roff.line(".RE");
}

/// Rows of two columns become tagged paragraphs; what goes on in the second column, follows there.
pub(crate) fn rows(roff: &mut Roff, lines: &[String]) {
    let mut is_first = true;
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        match indent {
            0 if is_first => roff.filled(text),
            0 => {
                roff.line(".PP");
                roff.filled(text);
            }
            1..8 => {
                let (term, meaning) = text.split_once("  ").unwrap_or((text, ""));
                roff.tagged(&format!("\\fB{}\\fR", escaped(term)), meaning.trim_start());
            }
            _ => roff.filled(text),
        }
        is_first = false;
    }
}

/// The sections of the help that comes after the options.
pub(crate) fn help_sections(command: &Command) -> Vec<HelpSection> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<HelpSection> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            Some(title) => sections.push((title.to_owned(), Vec::new())),
            None => sections.last_mut().into_iter().for_each(|(_, lines)| lines.push(line.to_owned())),
        }
    }
    sections
}

/// The positional arguments as written text, those in brackets that may be left out.
fn positionals(command: &Command) -> String {
    let one = |arg: &Arg| {
        let operand = format!("<{}>{}", value_name(arg), if takes_many(arg) { "..." } else { "" });
        if arg.is_required_set() { operand } else { format!("[{operand}]") }
    };
    command.get_positionals().map(one).collect::<Vec<_>>().join(" ")
}

fn operand_in_roff(arg: &Arg) -> String {
    format!("\\fI{}\\fR{}", escaped(&value_name(arg)), if takes_many(arg) { "..." } else { "" })
}

/// `[-w|--wait TIME]` in bold and italics, not to be broken. What ends with dots does not end a sentence.
fn in_brackets(arg: &Arg) -> String {
    format!("[{}]\\&", spelled(arg, "|").replace(' ', "\\~"))
}

/// `-w, --wait TIME` in bold and italics.
fn spelled(arg: &Arg, between: &str) -> String {
    let mut names: Vec<String> = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR")).into_iter().collect();
    names.extend(arg.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escaped(long))));
    let mut text = names.join(between);
    if arg.get_action().takes_values() {
        text.push_str(&format!(" \\fI{}\\fR", value_name(arg)));
        if arg.get_value_delimiter().is_some() {
            text.push_str("[,...]");
        }
    }
    text
}

pub(crate) fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(arg.get_action(), clap::ArgAction::Append)
}
