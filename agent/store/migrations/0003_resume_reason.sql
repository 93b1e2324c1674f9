-- Why a kill switch ended: who reads the trail later asks that as often as why it began.

alter table pause add column resume_reason text;
