-- A text that a carrier filtered is stopped, as other things are: until somebody lets it go on.

alter table pause drop constraint pause_scope_check;
alter table pause add constraint pause_scope_check
    check (scope in ('all', 'portfolio', 'channel', 'stage', 'loan', 'person', 'template'));
